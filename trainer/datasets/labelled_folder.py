"""Open labelled data sets in the layouts of MVTec AD, AD 2 and LOCO, BTAD, VisA and COCO.

Masks may have any of the names in `MASK_PATTERNS`.
"""

from pathlib import Path

from qc_worker.domain.errors import SettingsError
from qc_worker.domain.names import readable
from qc_worker.imaging.image_files import quoted
from trainer.datasets.labelled import DataSet, LabelledImage
from trainer.datasets.layouts.coco import is_coco, open_coco
from trainer.datasets.layouts.mvtec import is_mvtec, open_mvtec
from trainer.datasets.layouts.names import subfolders
from trainer.datasets.layouts.visa import is_visa, open_visa
from trainer.datasets.mask_files import MASK_NAMES

MASK_PATTERNS = tuple(f"ground_truth/<kind>/{name}" for name in MASK_NAMES)
LAYOUTS = (
    "supported layouts: train/good, test/good, test/DEFECT and ground_truth/DEFECT as in MVTec AD (ok for good and ko "
    "for DEFECT as in BTAD), or Data/Images/Normal, Data/Images/Anomaly and Data/Masks/Anomaly as in VisA, or JSON "
    "files of annotations as in COCO"
)
DEEPEST_PRODUCT = 2
NAMES_SHOWN = 4


def open_dataset(folder: Path) -> DataSet:
    """List the files of a product; `folder` is its folder, or contains no other product. Raises SettingsError."""
    if not folder.is_dir():
        raise SettingsError(f"{readable(folder)} is not a folder")
    found = products(folder)
    if len(found) > 1:
        names = ", ".join(readable(path.relative_to(folder)) for path in found[:NAMES_SHOWN])
        more = f" and {len(found) - NAMES_SHOWN} more" if len(found) > NAMES_SHOWN else ""
        raise SettingsError(
            f"{readable(folder)} contains {len(found)} data sets ({names}{more}), but a line inspects one product: "
            f"choose one, such as --dataset {quoted(found[0])}"
        )
    if not found:
        raise SettingsError(
            f"{readable(folder)} does not have the layout of MVTec AD, BTAD, VisA or COCO (no folder test/good); "
            f"{LAYOUTS}"
        )
    if is_visa(found[0]):
        return open_visa(found[0])
    return open_mvtec(found[0]) if is_mvtec(found[0]) else open_coco(found[0])


def products(folder: Path) -> list[Path]:
    """Find data sets: the folder itself if it is one, else those one level below it, else two levels."""
    level = [folder]
    for _ in range(DEEPEST_PRODUCT + 1):
        found = [path for path in level if is_dataset(path)]
        if found:
            return found
        level = [path for parent in level for path in subfolders(parent)]
    return []


def is_dataset(folder: Path) -> bool:
    """Return True if a folder has the layout of one product of a data set."""
    return is_visa(folder) or is_mvtec(folder) or is_coco(folder)


def labelled_images(folder: Path) -> list[LabelledImage]:
    """List the test images of a data set, good ones first, then by defect. Raises SettingsError."""
    return tested_images(open_dataset(folder))


def tested_images(dataset: DataSet) -> list[LabelledImage]:
    """List the test images, good ones first, then by defect. Raises SettingsError if either kind is missing."""
    images = [image for kind in dataset.test for image in kind.images()]
    if not any(kind.files for kind in dataset.test if kind.is_good):
        raise SettingsError(f"{readable(dataset.folder)} cannot be used for a test: test/good contains no image files")
    if not any(kind.files for kind in dataset.test if not kind.is_good):
        raise SettingsError(
            f"{readable(dataset.folder)} cannot be used for a test: its test folder contains no images of defects"
        )
    return images
