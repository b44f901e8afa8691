"""The one step of the build that setup.cfg cannot describe: recipes/ ships as weakseg/recipes."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

RECIPES = Path("recipes")


class BuildWithRecipes(build_py):
    """Adds the recipes to what is built; an editable install reads them where they stand."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            shutil.copytree(RECIPES, self._shipped(), dirs_exist_ok=True)

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        recipes = [str(self._shipped() / file.name) for file in sorted(RECIPES.glob("*.yaml"))]
        return [*super().get_outputs(include_bytecode), *recipes]

    def _shipped(self) -> Path:
        return Path(self.build_lib, "weakseg", "recipes")


setup(cmdclass={"build_py": BuildWithRecipes})
