"""Recipes in Python: `load` reads one, `resolve` looks up its classes; `build` makes the object
that a single section describes."""

from weakseg.config.lookup import build
from weakseg.config.recipe import RecipeError, load, resolve

__all__ = ["RecipeError", "build", "load", "resolve"]
