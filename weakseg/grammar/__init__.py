"""The grammar of recipes and command lines: words, values, names and constructors. `weakseg.recipe` is its front door."""
