"""Open VisA: `Data/Images/Normal`, `Data/Images/Anomaly`, `Data/Masks/Anomaly`, and a table with the split."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from qc_worker.domain.errors import SettingsError
from qc_worker.domain.names import readable
from qc_worker.imaging.image_files import FoundImages, find_images
from trainer.datasets.labelled import GOOD, DataSet, Labelled, merged
from trainer.datasets.layouts.names import below, is_bad, is_good, is_masks, letters
from trainer.datasets.mask_files import NO_MASKS, Files, match_masks

TABLE = Path("split_csv") / "1cls.csv"
KEPT_FOR_TEST = 10
"""Without a table, every tenth good image is kept for the test: the share in VisA's own table."""
NOT_IN_TABLE = "not in the split table"


def is_visa(folder: Path) -> bool:
    """Return True if there are folders of good images and of defects as in VisA."""
    images = _images_folder(folder)
    return images is not None and below(images, is_good) is not None and below(images, is_bad) is not None


def open_visa(folder: Path) -> DataSet:
    """List the images of a folder. Raises SettingsError if `is_visa` is false, or if the table cannot be read."""
    images = _images_folder(folder)
    good, bad = (below(images, called) if images else None for called in (is_good, is_bad))
    if images is None or good is None or bad is None:
        raise SettingsError(f"{readable(folder)} does not have the layout of VisA")
    found_good, found_bad = find_images(good), find_images(bad)
    table = _read_table(folder)
    split = _by_table(table, found_good.files, found_bad.files) if table else _every_so_many(found_good, found_bad)
    masks = below(images.parent, is_masks)
    matched = match_masks(found_bad.files, images, masks) if masks else NO_MASKS
    return DataSet(
        folder=folder,
        layout=f"VisA, split by {readable(table.path)}" if table else f"VisA, every {KEPT_FOR_TEST}th good image kept",
        training=(Labelled(good, GOOD, split.training),),
        test=(Labelled(good, GOOD, split.test), Labelled(bad, readable(bad.name), split.defects, matched.masks)),
        left_out=merged(found_good.left_out, found_bad.left_out, split.left_out),
        unused_masks=matched.unused,
    )


@dataclass(frozen=True, slots=True)
class _Table:
    """A product's rows of the split table: folder and name of each picture, in lower case."""

    path: Path
    training: frozenset[str]
    test: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Split:
    training: Files
    test: Files
    defects: Files
    left_out: Mapping[str, Files] = field(default_factory=dict)


def _images_folder(folder: Path) -> Path | None:
    inside = below(folder, lambda name: letters(name) == "data") or folder
    return below(inside, lambda name: letters(name) == "images")


def _by_table(table: _Table, good: Files, defects: Files) -> _Split:
    listed = table.training | table.test
    unlisted = tuple(path for path in (*good, *defects) if _key(path.as_posix()) not in listed)
    return _Split(
        training=_those(good, table.training),
        test=_those(good, table.test),
        defects=_those(defects, listed),
        left_out={NOT_IN_TABLE: unlisted} if unlisted else {},
    )


def _every_so_many(good: FoundImages, defects: FoundImages) -> _Split:
    training = tuple(path for number, path in enumerate(good.files) if number % KEPT_FOR_TEST)
    return _Split(training, good.files[::KEPT_FOR_TEST], defects.files)


def _read_table(folder: Path) -> _Table | None:
    """Read the split table beside the products or in this one; None if no table lists this product."""
    product = folder.resolve().name.casefold()
    for path in (folder.resolve().parent / TABLE, folder / TABLE):
        rows = [row for row in _rows(path) if row["object"].strip().casefold() == product] if path.is_file() else []
        if rows:
            return _Table(path, _listed(rows, "train"), _listed(rows, "test"))
    return None


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = [
                {str(name).strip().casefold(): str(value or "") for name, value in row.items()}
                for row in csv.DictReader(file)
            ]
    except (OSError, ValueError, csv.Error) as error:
        raise SettingsError(f"{readable(path)} cannot be read: {error}") from None
    if rows and not {"object", "split", "image"} <= rows[0].keys():
        raise SettingsError(f"{readable(path)} lacks one of the columns object, split and image")
    return rows


def _listed(rows: Sequence[Mapping[str, str]], split: str) -> frozenset[str]:
    return frozenset(_key(row["image"]) for row in rows if row["split"].strip().casefold() == split)


def _those(files: Files, keys: frozenset[str]) -> Files:
    return tuple(path for path in files if _key(path.as_posix()) in keys)


def _key(path: str) -> str:
    """Return a picture's folder and name, which are the same in every table and every copy of the set."""
    return "/".join(path.strip().casefold().split("/")[-2:])
