"""The grammar of recipes and command lines: words, values, names and constructors.
`weakseg.config.recipe` is its front door."""
