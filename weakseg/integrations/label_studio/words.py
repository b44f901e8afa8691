"""What is wrong with the words of the command, as far as it can be told without torch."""

from __future__ import annotations

from pathlib import Path

from weakseg.config.recipe import RecipeError
from weakseg.integrations.label_studio.server_files import origin_of


def check_words(run: Path | str, images: Path | None = None, url: str | None = None) -> None:
    """Raise a RecipeError if images cannot be found that way.

    Args:
        run: the trained network.
        images: the folder.
        url: the address of Label Studio.
    """
    errors = []
    if images is None and not url:
        errors.append(
            "images, url: expected a folder in which the addresses of local files begin, or the "
            "address of Label Studio, from which others are downloaded, but neither came"
        )
    if images is not None and not images.is_dir():
        errors.append(f"images: expected a folder, but {images} is none")
    try:
        origin_of(url or "http://localhost")
    except ValueError as error:
        errors.append(f"url: {error}")
    if errors:
        raise RecipeError(errors)
