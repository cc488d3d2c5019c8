"""Finding image files in folders that people made."""

from collections.abc import Iterator
from pathlib import Path

IMAGE_SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".pgm", ".tif", ".tiff", ".webp"})


def image_files(folder: Path) -> list[Path]:
    """Files in `folder` and below with an image's suffix, by path; hidden ones and all others are left out."""
    return sorted(path for path in _visible_files(folder) if path.suffix.lower() in IMAGE_SUFFIXES)


def _visible_files(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if not hidden and path.is_file():
            yield path
