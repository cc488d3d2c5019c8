"""What size the backbone sees a line's frames at."""

import re
from dataclasses import dataclass

from qc_worker.domain.errors import SettingsError
from qc_worker.simplenet.card import MAX_INPUT_SIZE, MIN_INPUT_SIZE
from qc_worker.simplenet.defaults import BackboneDefaults
from qc_worker.simplenet.spec import InputSize

AUTO = "auto"
_SIDES = re.compile(r"(\d{1,6})(?:x(\d{1,6}))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class AskedInputSize:
    """What `--input-size` asks for."""

    size: InputSize | None
    """Height and width, pixels; None: `auto`."""


def parse_input_size(text: str) -> AskedInputSize:
    """Read `256`, `256x384` (height x width) or `auto`. Raises SettingsError."""
    if text == AUTO:
        return AskedInputSize(None)
    sides = _SIDES.fullmatch(text)
    if sides is None:
        raise SettingsError(f"--input-size: {text!r} is neither auto, a side such as 256, nor HEIGHTxWIDTH")
    height = int(sides[1])
    width = int(sides[2] or height)
    if not all(MIN_INPUT_SIZE <= side <= MAX_INPUT_SIZE for side in (height, width)):
        raise SettingsError(f"--input-size: sides have {MIN_INPUT_SIZE} to {MAX_INPUT_SIZE} pixels, not {text}")
    return AskedInputSize((height, width))


def choose_input_size(asked: AskedInputSize, *, defaults: BackboneDefaults) -> InputSize:
    """Height and width to train and judge at, pixels: as asked for, else the backbone's own."""
    return asked.size or (defaults.input_size, defaults.input_size)
