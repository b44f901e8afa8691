"""Recipes in Python: `load` reads one, `resolve` finds its classes, whose objects its `build` makes;
`build` makes the object of a single section."""

from weakseg.config.lookup import build
from weakseg.config.recipe import RecipeError, load, resolve

__all__ = ["RecipeError", "build", "load", "resolve"]
