"""What size the backbone sees a line's frames at."""

import math
import re
from dataclasses import dataclass, replace

from qc_worker.domain.errors import SettingsError
from qc_worker.simplenet.card import MAX_INPUT_SIZE, MIN_INPUT_SIZE
from qc_worker.simplenet.defaults import BackboneDefaults
from qc_worker.simplenet.spec import EmbeddingSpec, InputSize

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


def choose_input_size(asked: AskedInputSize, *, defaults: BackboneDefaults, tiles: int = 1) -> InputSize:
    """Height and width to train and judge at, pixels: as asked for, else the backbone's own for each tile."""
    side = min(defaults.input_size * tiles, MAX_INPUT_SIZE)
    return asked.size or (side, side)


def fit_to_tiles(spec: EmbeddingSpec) -> EmbeddingSpec:
    """The spec with sides rounded down to what its tiles need, if it has tiles. Raises SettingsError."""
    if spec.tiles == 1:
        return spec
    stride = math.lcm(*spec.levels)
    height, width = (side // stride * stride for side in spec.input_size)
    fitting = replace(spec, input_size=(height, width))
    try:
        _ = fitting.cost
    except ValueError as error:
        raise SettingsError(f"--tiles {spec.tiles}: {error}: give fewer, or a larger --input-size") from None
    return fitting
