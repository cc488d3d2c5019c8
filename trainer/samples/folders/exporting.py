"""Write a line's samples as a labelled data set: folders as in MVTec AD, or COCO (`qc-trainer export`).

    mvtec   train/good, test/good, test/KIND, ground_truth/KIND/ID_mask.png
    coco    images, annotations/train.json, annotations/test.json

A share of the good samples, chosen by their ids, is for tests, so that it stays the same when samples are added. What
is exported can be imported again.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from qc_worker.domain import names
from qc_worker.domain.errors import InvalidFrame, SettingsError, TrainingError
from qc_worker.domain.feedback import Judgement
from qc_worker.domain.names import LineName
from qc_worker.files import write_atomically
from qc_worker.imaging.defects import encode_mask
from qc_worker.imaging.image_files import IMAGE_SUFFIXES
from qc_worker.imaging.opening import ImageLimits, opened
from qc_worker.imaging.preprocessing import decode_picture
from trainer.datasets.layouts.names import is_good, is_masks
from trainer.datasets.masks import read_mask
from trainer.samples.folders.importing import CHECK_SIZE
from trainer.samples.labelled import UNNAMED
from trainer.samples.store import SampleStore

SUFFIXES = {"JPEG": ".jpg", "TIFF": ".tif", "JPEG2000": ".jp2", "PPM": ".ppm"}
"""Of formats whose name is not their suffix."""
GOOD, TRAINING, TEST = "good", "train", "test"
MVTEC = "mvtec"


@dataclass(slots=True)
class ExportReport:
    """Numbers of exported images by part and kind, of masks, and the samples that cannot be read."""

    images: dict[str, int] = field(default_factory=dict)
    masks: int = 0
    unreadable: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Image:
    """A sample on its way out."""

    sample: str
    content: bytes
    name: str
    size: tuple[int, int]
    part: str
    kind: str
    mask: bytes | None
    pixels: npt.NDArray[np.bool_] | None


@dataclass(frozen=True, slots=True)
class Exporter:
    """Exports the samples of one store."""

    store: SampleStore
    limits: ImageLimits
    test_share: float

    def run(self, line: LineName, folder: Path, form: str, *, advance: Callable[[int], None]) -> ExportReport:
        """Write all samples in use; `form` is mvtec or coco.

        Raises SettingsError if the folder is in use, TrainingError without samples.
        """
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise SettingsError(f"{names.readable(folder)} is not an empty folder: name a new one")
        report = ExportReport()
        write = _Mvtec(folder) if form == MVTEC else _Coco(folder)
        for image in self._images(line, report):
            write.add(image)
            label = f"{image.part}/{image.kind}"
            report.images[label] = report.images.get(label, 0) + 1
            report.masks += image.mask is not None
            advance(1)
        if not report.images:
            raise TrainingError(f"line {line} has no samples that can be exported")
        write.finish()
        return report

    def _images(self, line: LineName, report: ExportReport) -> Iterator[_Image]:
        for judgement in (Judgement.GOOD, Judgement.DEFECT):
            for sample in self.store.ids(line, judgement):
                try:
                    yield self._image(line, judgement, sample)
                except (TrainingError, InvalidFrame):
                    report.unreadable.append(sample)

    def _image(self, line: LineName, judgement: Judgement, sample: str) -> _Image:
        content = self.store.read(line, judgement, sample)
        with opened(content, self.limits) as picture:
            form = str(picture.format)
        size = decode_picture(content, input_size=CHECK_SIZE, aspect="squash", limits=self.limits).image_size
        is_defect = judgement is Judgement.DEFECT
        mask = self.store.mask(line, sample) if is_defect else None
        return _Image(
            sample=sample,
            content=content,
            name=f"{sample}{_suffix(form)}",
            size=size,
            part=TEST if is_defect or _share_of(sample) < self.test_share else TRAINING,
            kind=_folder_of(self.store.card(line, judgement, sample).kind) if is_defect else GOOD,
            mask=mask,
            pixels=read_mask((self.store.mask_path(line, sample),), self.limits) if mask is not None else None,
        )


class _Mvtec:
    """Writes the folders of MVTec AD."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add(self, image: _Image) -> None:
        write_atomically(self._folder / image.part / image.kind / image.name, image.content)
        if image.mask is not None:
            name = f"{image.sample}_mask.png"
            write_atomically(self._folder / "ground_truth" / image.kind / name, image.mask)

    def finish(self) -> None:
        """Write nothing: the folders say it all."""


class _Coco:
    """Writes images and, last, the annotations: a good image has none."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._images: dict[str, list[dict[str, Any]]] = {TRAINING: [], TEST: []}
        self._annotations: list[dict[str, Any]] = []
        self._kinds: dict[str, int] = {}

    def add(self, image: _Image) -> None:
        write_atomically(self._folder / "images" / image.name, image.content)
        height, width = image.size
        number = sum(map(len, self._images.values())) + 1
        entry = {"id": number, "file_name": f"images/{image.name}", "width": width, "height": height}
        self._images[image.part].append(entry)
        if image.kind != GOOD:
            kind = self._kinds.setdefault(image.kind, len(self._kinds) + 1)
            place = _marked(image) if image.pixels is not None else _unmarked(image)
            annotation = {"id": len(self._annotations) + 1, "image_id": number, "category_id": kind, "iscrowd": 0}
            self._annotations.append(annotation | place)

    def finish(self) -> None:
        categories = [{"id": number, "name": kind} for kind, number in self._kinds.items()]
        for part, images in self._images.items():
            annotations = self._annotations if part == TEST else []
            document = {"images": images, "annotations": annotations, "categories": categories}
            encoded = json.dumps(document, ensure_ascii=False, indent=1).encode()
            write_atomically(self._folder / "annotations" / f"{part}.json", encoded)


def _marked(image: _Image) -> dict[str, Any]:
    assert image.pixels is not None
    mask = encode_mask(image.pixels)
    rows, columns = np.flatnonzero(image.pixels.any(axis=1)), np.flatnonzero(image.pixels.any(axis=0))
    if not len(rows):
        return _unmarked(image)
    top, left = int(rows[0]), int(columns[0])
    return {
        "bbox": [left, top, int(columns[-1]) - left + 1, int(rows[-1]) - top + 1],
        "area": int(image.pixels.sum()),
        "segmentation": {"size": list(mask.size), "counts": mask.counts},
    }


def _unmarked(image: _Image) -> dict[str, Any]:
    """Describe a defect whose place is not known: the whole image, without a segmentation."""
    height, width = image.size
    return {"bbox": [0, 0, width, height], "area": width * height, "segmentation": []}


def _suffix(form: str) -> str:
    suffix = SUFFIXES.get(form, f".{form.lower()}")
    return suffix if suffix in IMAGE_SUFFIXES else ".png"


def _share_of(sample: str) -> float:
    """Return a number from 0 to 1 that depends on the id alone."""
    return int(sample[:8], 16) / 2**32


def _folder_of(kind: str | None) -> str:
    """Return the name of a kind's folder; one that would be read as good parts or masks says that it is neither."""
    try:
        checked = names.defect_kind(kind or UNNAMED)
    except ValueError:
        return UNNAMED
    return f"{UNNAMED}_{checked}" if is_good(checked) or is_masks(checked) else checked
