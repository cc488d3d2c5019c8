"""Choose the size at which the backbone sees a line's frames."""

import math
import re
from dataclasses import dataclass, replace

from qc_worker.domain.errors import SettingsError
from qc_worker.imaging.aspect import InputSize
from qc_worker.simplenet.card import MAX_INPUT_SIZE, MIN_INPUT_SIZE
from qc_worker.simplenet.spec import COST_UNIT_PIXELS, EmbeddingSpec
from trainer.samples.frame_sizes import FrameSizes

AUTO = "auto"
DEFAULT_MAX_COST = 2.5
"""Bound of `auto` without tiles: 404 x 404 px."""
LEAST_MAX_COST, GREATEST_MAX_COST = 0.1, 64.0
SQUASHED_UP_TO = 4 / 3
"""Ratio of a frame's sides up to which `auto` makes it square; a longer one would lose too much of its long side."""
MIN_AUTO_SIDE = 64
"""Below it a feature map of stride 32 has one cell a side."""
MULTIPLE = 32
"""Sides are multiples of it, where that suits the backbone's strides."""
MAX_ENLARGEMENT = 1.03
"""Up to this much a side may be rounded up: 250 px become 256."""
ROUNDING = 1e-6
"""Tolerance for the rounding of square roots, pixels."""

_SIDES = re.compile(r"(\d{1,6})(?:x(\d{1,6}))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class AskedInputSize:
    """Values of `--input-size` and `--max-cost`."""

    size: InputSize | None
    """Height and width, pixels; None: `auto`."""
    max_cost: float | None = None
    """Bound of `EmbeddingSpec.cost` for `auto`; None: not given."""


@dataclass(frozen=True, slots=True)
class ChosenSize:
    """Height and width, pixels, and the reason, for people."""

    size: InputSize
    reason: str


def parse_input_size(text: str, max_cost: float | None = None) -> AskedInputSize:
    """Read `256`, `256x384` (height x width) or `auto`, and check the bound of its cost. Raises SettingsError."""
    if max_cost is not None and not LEAST_MAX_COST <= max_cost <= GREATEST_MAX_COST:
        raise SettingsError(f"--max-cost must be {LEAST_MAX_COST:g} to {GREATEST_MAX_COST:g}, not {max_cost:g}")
    if text == AUTO:
        return AskedInputSize(None, max_cost)
    sides = _SIDES.fullmatch(text)
    if sides is None:
        raise SettingsError(f"--input-size: {text!r} is neither auto, a side such as 256, nor HEIGHTxWIDTH")
    height = int(sides[1])
    width = int(sides[2] or height)
    if not all(MIN_INPUT_SIZE <= side <= MAX_INPUT_SIZE for side in (height, width)):
        raise SettingsError(f"--input-size: sides have {MIN_INPUT_SIZE} to {MAX_INPUT_SIZE} pixels, not {text}")
    return AskedInputSize((height, width), max_cost)


def as_asked(asked: AskedInputSize, cost: float) -> str:
    """Give the reason for a size that was asked for; it overrides the bound of the cost, and the reason says so."""
    bound = asked.max_cost or DEFAULT_MAX_COST
    if cost <= bound:
        return "as given"
    return f"as given; it costs {cost:.3g}, and --max-cost {bound:g} is a bound for auto only"


def auto_input_size(frames: FrameSizes, spec: EmbeddingSpec, *, max_cost: float | None) -> ChosenSize:
    """Choose a size from the good frames alone: as large as they are, never larger, within `max_cost`.

    Without tiles the bound is DEFAULT_MAX_COST unless one is given. `spec`: strides and tiles. Raises SettingsError.
    """
    coarsest = math.lcm(*spec.backbone_levels)
    unit = coarsest if MULTIPLE % coarsest else MULTIPLE
    if spec.tiles > 1:
        return _tiled(frames, spec, unit, math.inf if max_cost is None else max_cost)
    return _whole(frames, unit, max_cost or DEFAULT_MAX_COST)


def _whole(frames: FrameSizes, unit: int, max_cost: float) -> ChosenSize:
    budget = max_cost * COST_UNIT_PIXELS
    shape = _shape(frames.typical)
    limits = {
        "as large as they are": 1.0,
        f"made smaller for --max-cost {max_cost:g}": math.sqrt(budget / math.prod(shape)),
        f"made smaller for sides of at most {MAX_INPUT_SIZE} px": MAX_INPUT_SIZE / max(shape),
    }
    limit, scale = min(limits.items(), key=lambda item: item[1])
    reason = f"{frames}, {limit}"
    if len(set(frames.typical)) > 1:
        reason += ", made square" if shape[0] == shape[1] else ", in their shape"
    if min(shape) * scale < MIN_AUTO_SIDE:
        reason += f", no side below {MIN_AUTO_SIDE} px"
    return ChosenSize(_rounded((shape[0] * scale, shape[1] * scale), unit, budget, may_round_up=scale == 1), reason)


def _shape(frame: tuple[int, int]) -> tuple[float, float]:
    """Return the frame's sides, or the sides of the square with as many pixels."""
    if max(frame) > SQUASHED_UP_TO * min(frame):
        return frame
    side = math.sqrt(math.prod(frame))
    return side, side


def _rounded(sides: tuple[float, float], unit: int, budget: float, *, may_round_up: bool) -> InputSize:
    """Round sides to multiples of `unit` within `budget` pixels: up by MAX_ENLARGEMENT at most, else down."""
    least = -(-MIN_AUTO_SIDE // unit) * unit
    if may_round_up:
        nearest = [max(least, _nearest(side, unit)) for side in sides]
        if math.prod(nearest) <= budget and max(nearest) <= MAX_INPUT_SIZE:
            return nearest[0], nearest[1]
    height, width = (max(least, _down(side, unit)) for side in sides)
    longest = max(least, _down(budget / least, unit))  # of a long frame whose other side cannot get any shorter
    if height * width <= budget:
        return height, width
    return (min(height, longest), width) if height > width else (height, min(width, longest))


def _nearest(side: float, unit: int) -> int:
    nearest = round(side / unit) * unit
    return nearest if nearest <= MAX_ENLARGEMENT * side else _down(side, unit)


def _down(side: float, unit: int) -> int:
    return int((side + ROUNDING) // unit) * unit


def _tiled(frames: FrameSizes, spec: EmbeddingSpec, unit: int, max_cost: float) -> ChosenSize:
    """Choose the frames' own size, or the largest one whose tiles, overlaps included, cost at most `max_cost`."""
    long, short = max(frames.typical), min(frames.typical)
    scale = min(1.0, MAX_INPUT_SIZE / long)
    largest = max(unit, _down(long * scale, unit))
    for length in range(largest, 0, -unit):
        # By the greatest scale that rounds the long side down to this length.
        across = min(length, max(unit, _down(short * min(scale, (length + unit - 1) / long), unit)))
        size = (length, across) if frames.typical[0] == long else (across, length)
        cost = _cost(spec, size)
        if length == largest and (cost <= max_cost or math.isinf(cost)):
            # Frames too small for so many tiles are refused later, as a size that was given is.
            limit = "as large as they are" if scale == 1 else f"made smaller for sides of at most {MAX_INPUT_SIZE} px"
            return ChosenSize(size, f"{frames}, {limit}")
        if cost <= max_cost:
            return ChosenSize(size, f"{frames}, made smaller for --max-cost {max_cost:g}")
    raise SettingsError(
        f"--max-cost {max_cost:g} is too low for --tiles {spec.tiles} of {frames}: raise it, or use fewer tiles"
    )


def _cost(spec: EmbeddingSpec, size: InputSize) -> float:
    """Compute the cost of a size; infinite if it cannot be cut into so many tiles."""
    try:
        return replace(spec, input_size=size).cost
    except ValueError:
        return math.inf


def fit_to_tiles(spec: EmbeddingSpec) -> EmbeddingSpec:
    """Round the sides of a spec with tiles down to multiples that its tiles need. Raises SettingsError."""
    if spec.tiles == 1:
        return spec
    stride = math.lcm(*spec.backbone_levels)
    height, width = (side // stride * stride for side in spec.input_size)
    fitting = replace(spec, input_size=(height, width))
    try:
        _ = fitting.cost
    except ValueError as error:
        raise SettingsError(f"--tiles {spec.tiles}: {error}: give fewer, or a larger --input-size") from None
    return fitting
