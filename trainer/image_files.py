"""Image files and their masks, in folders that people made."""

from pathlib import Path

from qc_worker.simplenet.image_files import IMAGE_SUFFIXES, image_files

__all__ = ["IMAGE_SUFFIXES", "find_mask", "image_files"]


def find_mask(masks: Path, image: Path) -> Path | None:
    """The mask of an image, MVTec's `<stem>_mask.png` or `<stem>.png`; `image` is relative to the images' folder."""
    for name in (f"{image.stem}_mask.png", f"{image.stem}.png"):
        candidate = masks / image.parent / name
        if candidate.is_file():
            return candidate
    return None
