"""Checks names that come from outside before they become part of a path, a key or a label."""

import re
from pathlib import Path
from typing import NewType

LineName = NewType("LineName", str)
CameraName = NewType("CameraName", str)
FrameId = NewType("FrameId", str)
PartNumber = NewType("PartNumber", str)
DefectKind = NewType("DefectKind", str)
ModelVersion = NewType("ModelVersion", str)

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
FRAME_ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._:/=+-]{0,127}$"
KIND_PATTERN = r"^[^./\\\s][^/\\]{0,63}$"
SHA256_PATTERN = r"^[0-9a-f]{64}$"
MAX_PART_CHARACTERS = 128
MAX_PERSON_CHARACTERS = 128

_NO_KINDS = frozenset({"good", "unsure"})
"""These are verdicts."""
_name = re.compile(NAME_PATTERN[:-1] + r"\Z")
_kind = re.compile(KIND_PATTERN[:-1] + r"\Z")
_frame_id = re.compile(FRAME_ID_PATTERN[:-1] + r"\Z")


def line_name(text: str) -> LineName:
    """Check a production line's name. Raises ValueError."""
    return LineName(_checked(text, _name, "line"))


def camera_name(text: str) -> CameraName:
    """Check a camera's name. Raises ValueError."""
    return CameraName(_checked(text, _name, "camera"))


def frame_id(text: str) -> FrameId:
    """Check a frame id. Raises ValueError."""
    return FrameId(_checked(text, _frame_id, "frame id"))


def model_version(text: str) -> ModelVersion:
    """Check a model version. Raises ValueError."""
    return ModelVersion(_checked(text, _name, "model version"))


def part_number(text: str) -> PartNumber:
    """Check a part's serial number, without blanks around it: scanners add line ends. Raises ValueError."""
    text = text.strip()
    if len(text) > MAX_PART_CHARACTERS:
        raise ValueError(f"longer than {MAX_PART_CHARACTERS} characters")
    if not text or not text.isprintable():
        raise ValueError(f"{text!r} is not a part's serial number: use printable characters")
    return PartNumber(text)


def defect_kind(text: str) -> DefectKind:
    """Check the name of a kind of defect, which becomes a folder's name in an export. Raises ValueError."""
    if not text.isprintable() or text != text.strip() or text.casefold() in _NO_KINDS:
        raise ValueError(f"{text[:80]!r} is not a kind of defect: use another, printable name")
    return DefectKind(_checked(text, _kind, "kind of defect"))


def person_name(text: str) -> str:
    """Check the name of a person. Raises ValueError."""
    if len(text) > MAX_PERSON_CHARACTERS:
        raise ValueError(f"the name of a person is longer than {MAX_PERSON_CHARACTERS} characters")
    return text


def readable(name: str | Path) -> str:
    """Convert a file's name to text that can be printed and stored; bytes that are not UTF-8 become escapes."""
    try:
        return str(name).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # a lone surrogate that stands for no byte
        return str(name).encode("utf-8", "backslashreplace").decode()


def _checked(text: str, pattern: re.Pattern[str], what: str) -> str:
    if not pattern.match(text):
        shown = text if len(text) <= 80 else text[:80] + "..."
        raise ValueError(f"{shown!r} is not a {what}: expected {pattern.pattern[:-2]}$")
    return text
