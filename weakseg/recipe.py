"""Recipes in Python: `build` makes the object that a section of a recipe describes, `load` reads a
whole recipe."""

from weakseg.config.lookup import build
from weakseg.config.recipe import RecipeError, load

__all__ = ["RecipeError", "build", "load"]
