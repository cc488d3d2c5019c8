"""Open COCO: JSON files of images, annotations and categories. An image without annotations is good.

The JSON files lie in the folder, in `annotations`, or in one folder for each part beside their images, as Roboflow
writes them. A part is for training, validation or test by the name of its file or folder. Polygons, run lengths and
boxes become masks; annotations of the whole image have none.
"""

import atexit
import json
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from qc_worker.domain.errors import SettingsError
from qc_worker.domain.inspection import Mask
from qc_worker.domain.names import readable
from qc_worker.imaging.run_lengths import decode_mask
from trainer.datasets.labelled import GOOD, DataSet, Labelled
from trainer.datasets.layouts.names import TEST, TRAINING, VALIDATION, is_good, letters, subfolders
from trainer.datasets.mask_files import Files

MAX_JSON_BYTES = 512 * 1024 * 1024
MAX_SIDE = 1 << 15
KEPT_FOR_TEST = 10
"""Without a part for tests, every tenth good image is kept for them."""
HOMES = frozenset({"annotations", *TRAINING, *VALIDATION, *TEST})
"""Folders in which annotation files lie, beside the data set's own."""
NOT_FOUND = "named by an annotation file, but not there"


def is_coco(folder: Path) -> bool:
    """Return True if a JSON file in the folder, or one level below, lists images and annotations."""
    return bool(_annotation_files(folder))


def open_coco(folder: Path) -> DataSet:
    """List the images of a folder for which `is_coco` is true. Raises SettingsError for a file that cannot be read."""
    opened = _Opened(folder)
    for path in _annotation_files(folder):
        opened.add(path, _read(path))
    training = opened.good_training
    test_good = opened.good_test
    if not test_good:
        training, test_good = [p for n, p in enumerate(training) if n % KEPT_FOR_TEST], training[::KEPT_FOR_TEST]
    defects = [
        Labelled(folder, kind, tuple(files), {path: opened.masks[path] for path in files if path in opened.masks})
        for kind, files in sorted(opened.defects.items())
    ]
    return DataSet(
        folder=folder,
        layout="COCO, split by its files" if opened.good_test else f"COCO, every {KEPT_FOR_TEST}th good image kept",
        training=(Labelled(folder, GOOD, tuple(training)),),
        test=(Labelled(folder, GOOD, tuple(test_good)), *defects),
        left_out={NOT_FOUND: tuple(opened.missing)} if opened.missing else {},
    )


@dataclass(slots=True)
class _Opened:
    """Images by part and kind, each once."""

    folder: Path
    good_training: list[Path] = field(default_factory=list)
    good_test: list[Path] = field(default_factory=list)
    defects: dict[str, list[Path]] = field(default_factory=lambda: defaultdict(list))
    masks: dict[Path, Files] = field(default_factory=dict)
    missing: list[Path] = field(default_factory=list)
    seen: set[Path] = field(default_factory=set)

    def add(self, path: Path, document: Mapping[str, Any]) -> None:
        """Add the images of one file. Raises SettingsError."""
        try:
            kinds = {each["id"]: str(each["name"]) for each in document.get("categories", ())}
            by_image: dict[Any, list[Mapping[str, Any]]] = defaultdict(list)
            for annotation in document["annotations"]:
                by_image[annotation["image_id"]].append(annotation)
            for image in document["images"]:
                self._add_image(path, image, by_image[image["id"]], kinds)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            happened = f"lacks {error}" if isinstance(error, KeyError) else str(error)
            raise SettingsError(f"{readable(path)} is not COCO: {happened}"[:300]) from None

    def _add_image(
        self,
        path: Path,
        image: Mapping[str, Any],
        annotations: Sequence[Mapping[str, Any]],
        kinds: Mapping[Any, str],
    ) -> None:
        file = _image_file(self.folder, path, str(image["file_name"]))
        if file is None:
            self.missing.append(path.parent / Path(str(image["file_name"])).name)
            return
        if file in self.seen:
            return
        self.seen.add(file)
        defects = [each for each in annotations if not is_good(kinds[each["category_id"]])]
        if not defects:
            (self.good_test if _is_test(path) else self.good_training).append(file)
            return
        kind = kinds[max(defects, key=lambda each: float(each.get("area") or 0))["category_id"]]
        self.defects[readable(kind)].append(file)
        mask = _mask(defects, (int(image["height"]), int(image["width"])))
        if mask is not None:
            self.masks[file] = (_store_mask(mask),)


def _annotation_files(folder: Path) -> list[Path]:
    parts = [each for each in subfolders(folder) if letters(each.name) in HOMES]
    candidates = [path for each in (folder, *parts) for path in sorted(each.glob("*.json"))]
    return [path for path in candidates if path.is_file() and _looks_like_coco(path)]


def _looks_like_coco(path: Path) -> bool:
    try:
        document = _read(path)
    except SettingsError:
        return False
    return isinstance(document.get("images"), list) and isinstance(document.get("annotations"), list)


def _read(path: Path) -> dict[str, Any]:
    try:
        stat = path.stat()
    except OSError as error:
        raise SettingsError(f"{readable(path)} cannot be read: {error.strerror}") from None
    return _parsed(path, stat.st_mtime_ns, stat.st_size)


@cache
def _parsed(path: Path, modified_ns: int, size_bytes: int) -> dict[str, Any]:  # noqa: ARG001  (part of the key)
    if size_bytes > MAX_JSON_BYTES:
        raise SettingsError(f"{readable(path)} has more than {MAX_JSON_BYTES} bytes")
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise SettingsError(f"{readable(path)} cannot be read: {error}"[:300]) from None
    return document if isinstance(document, dict) else {}


def _image_file(folder: Path, path: Path, name: str) -> Path | None:
    """Find an image's file beside its annotations, or in a folder of images; never outside of the data set."""
    inside = Path(name.replace("\\", "/"))
    if inside.is_absolute() or ".." in inside.parts or "\x00" in name:
        return None
    part = path.stem.removeprefix("instances_")
    homes = (path.parent, folder, path.parent / "images", folder / "images", folder / part, folder / "images" / part)
    return next((home / inside for home in homes if (home / inside).is_file()), None)


def _is_test(path: Path) -> bool:
    words = {letters(path.parent.name), letters(path.stem.removeprefix("instances_"))}
    return bool(words & set(TEST))


def _mask(annotations: Sequence[Mapping[str, Any]], size: tuple[int, int]) -> np.ndarray | None:
    """Draw annotations as one mask; None if they tell nothing but that there is a defect."""
    if not all(0 < side <= MAX_SIDE for side in size):
        raise ValueError(f"an image of {size[1]} x {size[0]} pixels")
    drawn = Image.new("1", (size[1], size[0]))
    mask = np.zeros(size, dtype=bool)
    for annotation in annotations:
        segmentation = annotation.get("segmentation")
        if isinstance(segmentation, dict):
            mask |= decode_mask(_run_lengths(segmentation, size))
            continue
        for shape in segmentation or _box(annotation, size):
            ImageDraw.Draw(drawn).polygon(list(_corners(shape)), fill=1)
    mask |= np.asarray(drawn)
    return mask if mask.any() else None


def _run_lengths(segmentation: Mapping[str, Any], size: tuple[int, int]) -> Mask:
    height, width = map(int, segmentation["size"])
    if (height, width) != size:
        raise ValueError(f"a mask of {width} x {height} pixels on an image of {size[1]} x {size[0]}")
    counts = segmentation["counts"]
    if isinstance(counts, str):
        return Mask((height, width), counts)
    return Mask((height, width), _compressed([int(run) for run in counts]))


def _compressed(runs: Sequence[int]) -> str:
    """Write uncompressed run lengths as `decode_mask` reads them."""
    text = []
    for number, run in enumerate(runs):
        value = run - (runs[number - 2] if number > 2 else 0)
        more = True
        while more:
            code, value = value & 31, value >> 5
            more = value != (-1 if code & 16 else 0)
            text.append(chr((code | 32 if more else code) + 48))
    return "".join(text)


def _box(annotation: Mapping[str, Any], size: tuple[int, int]) -> list[list[float]]:
    """Return the box as a polygon; none for a box that is the whole image, which marks no place."""
    x, y, width, height = map(float, annotation.get("bbox") or (0, 0, size[1], size[0]))
    if (x, y, width, height) == (0, 0, size[1], size[0]) or width < 1 or height < 1:
        return []
    right, bottom = x + width - 1, y + height - 1
    return [[x, y, right, y, right, bottom, x, bottom]]


def _corners(shape: Sequence[Any]) -> Iterator[tuple[float, float]]:
    numbers = [float(each) for each in shape]
    if len(numbers) < 6 or len(numbers) % 2 or not np.isfinite(numbers).all():
        raise ValueError("a polygon of fewer than three corners")
    return zip(numbers[::2], numbers[1::2], strict=True)


def _store_mask(mask: np.ndarray) -> Path:
    with tempfile.NamedTemporaryFile(dir=_mask_folder(), suffix=".png", delete=False) as file:
        Image.fromarray(mask).save(file, "PNG")
    return Path(file.name)


@cache
def _mask_folder() -> Path:
    """Make a folder for the masks of this process, which are gone with it: a data set may be read-only."""
    folder = Path(tempfile.mkdtemp(prefix="qc-masks-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
