import math
from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from qc_worker.domain.errors import SettingsError
from qc_worker.imaging.aspect import InputSize
from qc_worker.simplenet.spec import COST_UNIT_PIXELS
from tests.unit.simplenet.factories import an_embedding_spec
from trainer.features.input_size import (
    MAX_ENLARGEMENT,
    MIN_AUTO_SIDE,
    SQUASHED_UP_TO,
    AskedInputSize,
    as_asked,
    auto_input_size,
    fit_to_tiles,
    parse_input_size,
)
from trainer.samples.frame_sizes import FrameSizes

SIDES = st.integers(32, 2048)
FRAME = st.tuples(st.integers(1, 8000), st.integers(1, 8000))
COSTS = st.floats(0.1, 64)
STRIDES = st.sampled_from([(16,), (16, 32), (8, 16), (14,)])


@given(side=SIDES)
def test_one_number_asks_for_a_square(side: int) -> None:
    assert parse_input_size(str(side)) == AskedInputSize((side, side))


@given(height=SIDES, width=SIDES)
def test_two_numbers_are_height_and_width(height: int, width: int) -> None:
    assert parse_input_size(f"{height}x{width}") == AskedInputSize((height, width))


@pytest.mark.parametrize("text", ["31", "2049", "31x256", "256x2049", "0", "999999x999999"])
def test_sides_too_small_or_too_large_are_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="32 to 2048 pixels"):
        parse_input_size(text)


@given(text=st.text().filter(lambda text: not text.isdigit()) | st.sampled_from(["256X384", "256x", "x256", " 256"]))
def test_anything_else_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(SettingsError) as refused:
        parse_input_size(text if text != "auto" else "")
    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize("cost", [0.09, 64.1, 0, -1, math.nan, math.inf])
def test_a_bound_of_the_cost_out_of_range_is_refused(cost: float) -> None:
    with pytest.raises(SettingsError, match=r"--max-cost must be 0\.1 to 64, not"):
        parse_input_size("auto", cost)


def test_a_size_that_was_given_says_if_it_costs_more_than_auto_would() -> None:
    assert as_asked(AskedInputSize((256, 256)), 1.0) == "as given"
    assert "it costs 4, and --max-cost 2.5 is a bound for auto only" in as_asked(AskedInputSize((512, 512)), 4.0)
    assert "--max-cost 0.5 " in as_asked(AskedInputSize((256, 256), 0.5), 1.0)


def auto(
    frame: tuple[int, int],
    cost: float | None = None,
    *,
    levels: tuple[int, ...] = (16, 32),
    tiles: int = 1,
) -> InputSize:
    spec = an_embedding_spec(levels=levels, tiles=tiles)
    return auto_input_size(FrameSizes((frame,)), spec, max_cost=cost).size


def unit_of(levels: tuple[int, ...]) -> int:
    return 14 if levels == (14,) else 32


@pytest.mark.parametrize(
    ("frame", "cost", "size"),
    [
        ((225, 225), None, (224, 224)),
        ((250, 250), None, (256, 256)),
        ((256, 256), None, (256, 256)),
        ((300, 300), None, (288, 288)),
        ((404, 404), None, (384, 384)),
        ((640, 640), None, (384, 384)),
        ((640, 640), 2.25, (384, 384)),
        ((640, 640), 64, (640, 640)),
        ((480, 640), None, (384, 384)),
        ((1080, 1920), None, (288, 512)),
        ((1920, 1080), None, (512, 288)),
        ((3000, 4000), 64, (2048, 2048)),
        ((48, 48), None, (64, 64)),
        ((100, 2000), 0.1, (64, 96)),
    ],
)
def test_auto_is_as_large_as_frames_and_cost_allow(frame: tuple[int, int], cost: float | None, size: InputSize) -> None:
    assert auto(frame, cost) == size


@given(frame=FRAME, cost=COSTS, levels=STRIDES)
def test_auto_keeps_to_its_cost_in_multiples_of_what_the_backbone_likes(
    frame: tuple[int, int], cost: float, levels: tuple[int, ...]
) -> None:
    size = auto(frame, cost, levels=levels)
    assert math.prod(size) <= cost * COST_UNIT_PIXELS * (1 + 1e-9)  # but for rounding
    assert not any(side % unit_of(levels) for side in size)
    assert all(MIN_AUTO_SIDE <= side <= 2048 for side in size)


@given(frame=FRAME, cost=COSTS, levels=STRIDES)
def test_auto_never_enlarges(frame: tuple[int, int], cost: float, levels: tuple[int, ...]) -> None:
    """A square has at most the pixels of the frame; only frames with a side below 64 px are enlarged."""
    assume(min(frame) >= 70)
    size = auto(frame, cost, levels=levels)
    if max(frame) <= SQUASHED_UP_TO * min(frame):
        assert size[0] == size[1] <= math.sqrt(math.prod(frame)) * MAX_ENLARGEMENT
    else:
        least = -(-MIN_AUTO_SIDE // unit_of(levels)) * unit_of(levels)
        assert all(side <= max(least, own * MAX_ENLARGEMENT) for side, own in zip(size, frame, strict=True))


@given(frame=FRAME, costs=st.tuples(COSTS, COSTS), levels=STRIDES)
def test_a_greater_cost_never_gives_a_smaller_size(
    frame: tuple[int, int], costs: tuple[float, float], levels: tuple[int, ...]
) -> None:
    smaller, larger = (auto(frame, cost, levels=levels) for cost in sorted(costs))
    assert all(side <= other for side, other in zip(smaller, larger, strict=True))


@given(frame=FRAME, cost=COSTS)
def test_long_frames_keep_their_shape_but_for_rounding(frame: tuple[int, int], cost: float) -> None:
    assume(max(frame) > SQUASHED_UP_TO * min(frame))
    scale = min(1.0, math.sqrt(cost * COST_UNIT_PIXELS / math.prod(frame)), 2048 / max(frame))
    assume(min(frame) * scale >= MIN_AUTO_SIDE)
    assert all(abs(side - own * scale) < 32 for side, own in zip(auto(frame, cost), frame, strict=True))


def test_the_reason_names_frames_limit_and_shape() -> None:
    def reason(*sizes: tuple[int, int], cost: float | None = None) -> str:
        return auto_input_size(FrameSizes(sizes), an_embedding_spec(), max_cost=cost).reason

    assert reason((225, 225)) == "frames of 225 x 225 px, as large as they are"
    assert reason((480, 640)) == "frames of 480 x 640 px, made smaller for --max-cost 2.5, made square"
    assert reason((100, 400), (120, 420), (120, 440), cost=4) == (
        "frames of 120 x 420 px (median of 3 sizes), as large as they are, in their shape"
    )
    assert reason((48, 48)).endswith("as large as they are, no side below 64 px")
    assert reason((4000, 4000), cost=64) == "frames of 4000 x 4000 px, made smaller for --max-cost 64"
    assert reason((1000, 4000), cost=64).endswith("made smaller for sides of at most 2048 px, in their shape")


@pytest.mark.parametrize(
    ("frame", "tiles", "cost", "size"),
    [
        ((640, 640), 2, None, (640, 640)),
        ((1000, 1003), 2, None, (992, 992)),
        ((700, 1000), 2, None, (672, 992)),
        ((3000, 4000), 4, None, (1536, 2048)),
        ((640, 640), 2, 5.0, (384, 384)),
        ((640, 640), 2, 5.1, (448, 448)),
    ],
)
def test_tiles_see_frames_at_their_own_scale_unless_a_cost_is_given(
    frame: tuple[int, int], tiles: int, cost: float | None, size: InputSize
) -> None:
    assert auto(frame, cost, tiles=tiles) == size


@given(frame=st.tuples(st.integers(300, 4000), st.integers(300, 4000)), cost=COSTS, tiles=st.integers(2, 4))
def test_the_cost_of_tiles_counts_their_overlaps(frame: tuple[int, int], cost: float, tiles: int) -> None:
    spec = an_embedding_spec(levels=(16, 32), tiles=tiles)
    try:
        chosen = auto_input_size(FrameSizes((frame,)), spec, max_cost=cost)
    except SettingsError as error:
        assert f"--max-cost {cost:g} is too low" in str(error)  # noqa: PT017  (either outcome is right)
        return
    try:
        assert replace(spec, input_size=chosen.size).cost <= cost
    except ValueError:
        assert max(frame) < 224 + 32 * tiles
    assert all(side <= own for side, own in zip(chosen.size, frame, strict=True))


def test_frames_too_small_for_tiles_are_refused_with_what_to_do() -> None:
    spec = an_embedding_spec(levels=(16, 32), tiles=8)
    size = auto((20, 100), 0.1, levels=(16, 32), tiles=8)
    with pytest.raises(SettingsError, match=r"--tiles 8: .*too small for 8 tiles"):
        fit_to_tiles(replace(spec, input_size=size))


@given(height=SIDES, width=SIDES, tiles=st.integers(1, 8))
def test_sides_are_rounded_down_to_what_tiles_need(height: int, width: int, tiles: int) -> None:
    spec = an_embedding_spec(input_size=(height, width), levels=(16, 32), tiles=tiles)
    try:
        fitting = fit_to_tiles(spec)
    except SettingsError as error:
        assert f"--tiles {tiles}" in str(error)  # noqa: PT017  (either outcome is right, for some sides)
        assert max(height, width) < 224 + 32 * tiles or min(height, width) < 32
        return
    unit = 32 if tiles > 1 else 1
    assert fitting.input_size == (height // unit * unit, width // unit * unit)
    assert fitting.cost > 0
