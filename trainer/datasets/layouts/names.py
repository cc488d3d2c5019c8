"""Recognise the folders of labelled data sets by their names."""

import re
from collections.abc import Callable
from pathlib import Path

TRAINING = frozenset({"train", "training"})
VALIDATION = frozenset({"validation", "val", "valid"})
TEST = ("test", "testing", "testpublic")

_GOOD = frozenset({"good", "ok", "okay", "normal", "nominal", "passed"})
_BAD = frozenset(
    {
        *("anomalies", "anomalous", "anomaly", "abnormal", "bad", "broken", "damaged", "def", "defect", "defective"),
        *("defects", "fail", "failed", "fault", "faulty", "faults", "ko", "ng", "nio", "nok", "reject", "rejected"),
        *("rejects", "scrap"),
    }
)
_NOT = frozenset({"free", "no", "non", "not", "without"})
_MASKS = frozenset(
    {*("annotation", "annotations", "groundtruth", "gt", "label", "labels", "mask", "masks", "segmentation")}
)


def is_good(name: str) -> bool:
    """Return True if the name is one for good parts: `good`, `OK`, `ok_front`, `defect-free`, but not `not_ok`."""
    words = _words(name)
    return bool(words & _BAD) if words & _NOT else bool(words & _GOOD) and not words & _BAD


def is_bad(name: str) -> bool:
    """Return True if the name says that parts are defective: `bad`, `KO`, `not good`; but not `scratch`."""
    words = _words(name)
    return bool(words & _GOOD) if words & _NOT else bool(words & _BAD)


def is_masks(name: str) -> bool:
    """Return True if the name is one for masks: `ground_truth`, `GT`, `Masks`."""
    return letters(name) in _MASKS


def is_ground_truth(name: str) -> bool:
    """Return True if the name cannot be anything but a folder of masks."""
    return letters(name) == "groundtruth"


def letters(name: str) -> str:
    """Return the letters of a name in lower case."""
    return "".join(character for character in name.casefold() if character.isalpha())


def subfolders(folder: Path) -> list[Path]:
    """List visible folders right below one, by name; empty if it cannot be read."""
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith(".") and path.is_dir())
    except OSError:
        return []


def below(folder: Path, called: Callable[[str], bool]) -> Path | None:
    """Return the first folder right below one whose name matches; None if there is none."""
    return next((path for path in subfolders(folder) if called(path.name)), None)


def _words(name: str) -> frozenset[str]:
    return frozenset(re.split(r"[^a-z]+", name.casefold()))
