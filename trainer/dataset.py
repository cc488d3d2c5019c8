"""A labelled folder as MVTec AD lays it out: `test/good`, `test/<defect>`, `ground_truth/<defect>/<stem>_mask.png`.

Masks may have other usual names too: `MASK_PATTERNS`.
"""

from dataclasses import dataclass
from pathlib import Path

from qc_worker.domain.errors import SettingsError
from qc_worker.simplenet.image_files import image_files
from trainer.masks import MASK_NAMES, find_mask

GOOD = "good"
MASK_PATTERNS = tuple(f"ground_truth/<kind>/{name}" for name in MASK_NAMES)


@dataclass(frozen=True, slots=True)
class LabelledImage:
    """An image file, its kind (`good` or a defect's name), and its mask where there is one."""

    path: Path
    kind: str
    mask: Path | None

    @property
    def name(self) -> str:
        """As people find it below `test`."""
        return f"{self.kind}/{self.path.name}"


def labelled_images(folder: Path) -> list[LabelledImage]:
    """All images below `<folder>/test`, good ones first, then by defect. Raises SettingsError."""
    test = folder / "test"
    if not (test / GOOD).is_dir():
        raise SettingsError(f"{folder} is not laid out as MVTec AD is: there is no folder test/good")
    kinds = sorted(path.name for path in test.iterdir() if path.is_dir() and not path.name.startswith("."))
    kinds.sort(key=lambda kind: kind != GOOD)
    images = [image for kind in kinds for image in _of_kind(folder, kind)]
    if not images or images[0].kind != GOOD:
        raise SettingsError(f"{test / GOOD} holds no image files")
    if images[-1].kind == GOOD:
        raise SettingsError(f"{test} holds no images of defects, so there is nothing to tell good frames from")
    return images


def _of_kind(folder: Path, kind: str) -> list[LabelledImage]:
    root = folder / "test" / kind
    masks = folder / "ground_truth" / kind
    return [
        LabelledImage(path, kind, None if kind == GOOD else find_mask(masks, path.relative_to(root)))
        for path in image_files(root)
    ]
