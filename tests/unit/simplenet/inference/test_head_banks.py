"""Stacked heads against line after line."""

import gc
from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from benchmarks.harness.operator_watch import Operators
from qc_worker.simplenet.head_shape import HeadShape
from qc_worker.simplenet.inference.folded import FoldedHead, fold, patch_scores
from qc_worker.simplenet.inference.head_banks import HeadBanks
from tests.unit.simplenet.factories import a_head, a_shape, head_of
from tests.unit.simplenet.inference.test_folded import SEEDS, shapes
from trainer.fitting.defaults import defaults_for

Size = tuple[int, int]
CPU = torch.device("cpu")
SHARE = 1e-5
"""Of the range of scores: the largest difference that may be called rounding."""
MOST_OPERATORS = {torch.float32: 39, torch.bfloat16: 40}
"""For the default heads of a batch, however many lines it mixes; bfloat16 has four conversions more."""


def some_levels(channels: Sequence[int], grid: Size, frames: int, seed: int = 0) -> list[Tensor]:
    """Aggregated levels, of which the first has the grid's size and each other half the cells of the one before."""
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randn(frames, count, *(-(-side // 2**level) for side in grid), generator=generator)
        for level, count in enumerate(channels)
    ]


def assert_as_the_loop(levels: list[Tensor], heads: list[FoldedHead], grid: Size) -> None:
    expected = patch_scores(levels, heads, grid)
    found = HeadBanks().covering(heads).patch_scores(levels, heads, grid)
    torch.testing.assert_close(found, expected, rtol=0, atol=SHARE * span(expected))


def span(scores: Tensor) -> float:
    return float((scores.max() - scores.min()).clamp_min(1))


@settings(deadline=None, max_examples=60)
@given(
    shape=shapes(),
    lines=st.sampled_from([1, 2, 3, 32]),
    grid=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    seed=SEEDS,
    draw=st.data(),
)
def test_stacked_heads_score_as_line_after_line(
    shape: HeadShape, lines: int, grid: Size, seed: int, draw: st.DataObject
) -> None:
    heads = [fold(head_of(shape, seed + line)) for line in range(lines)]
    order = draw.draw(st.lists(st.integers(0, lines - 1), min_size=1, max_size=12))
    assert_as_the_loop(some_levels(shape.level_channels, grid, len(order), seed), [heads[line] for line in order], grid)


@pytest.mark.parametrize("lines", [1, 3, 32])
def test_lines_with_uneven_numbers_of_frames_and_scores_by_cell(lines: int) -> None:
    heads = [fold(head_of(a_shape((12, 6, 3), 16, cells=(8, 8)), seed)) for seed in range(lines)]
    order = sorted((7 * frame * frame) % (lines + 2) % lines for frame in range(64))
    assert_as_the_loop(some_levels((12, 6, 3), (8, 8), 64), [heads[line] for line in order], (8, 8))


def test_of_more_components_than_are_measured_only_ties_may_differ() -> None:
    heads = [fold(head_of(a_shape((12, 6), components=(40, 40)), seed)) for seed in range(3)]
    levels, order = some_levels((12, 6), (16, 16), 9), [heads[frame % 3] for frame in range(9)]
    expected = patch_scores(levels, order, (16, 16))
    found = HeadBanks().covering(order).patch_scores(levels, order, (16, 16))
    off = (found - expected).abs() > SHARE * span(expected)
    assert float(off.float().mean()) < 2e-3


def test_features_that_all_lie_in_one_component_are_no_exception() -> None:
    head = fold(head_of(a_shape((4, 2), components=(40, 40))))
    levels = [torch.ones(6, 4, 5, 5), torch.ones(6, 2, 3, 3)]
    assert_as_the_loop(levels, [head] * 6, (5, 5))


def test_heads_of_several_shapes_share_a_batch() -> None:
    small, large = (
        [fold(a_head((8, 4), 5, seed)) for seed in (1, 2)],
        [fold(a_head((8, 4), 9, seed)) for seed in (3, 4)],
    )
    heads = [small[0], large[0], small[1], large[1], small[0]]
    assert_as_the_loop(some_levels((8, 4), (6, 6), 5), heads, (6, 6))


def test_a_head_that_cannot_be_stacked_is_scored_line_after_line() -> None:
    odd = [fold(head_of(a_shape((8, 4), components=(3, 5)), seed)) for seed in (1, 2)]
    usual = fold(a_head((8, 4), seed=3))
    assert_as_the_loop(some_levels((8, 4), (6, 6), 3), [odd[0], usual, odd[1]], (6, 6))


def test_bfloat16_heads_score_as_line_after_line_but_for_their_rounding() -> None:
    heads = [fold(a_head((32, 16), 64, seed)).to(CPU, torch.bfloat16) for seed in range(3)]
    levels = [level.bfloat16() for level in some_levels((32, 16), (12, 12), 6)]
    order = [heads[frame % 3] for frame in range(6)]
    expected = patch_scores(levels, order, (12, 12))
    found = HeadBanks().covering(order).patch_scores(levels, order, (12, 12))
    assert float((found - expected).std()) < 0.03 * float(expected.std())


def test_what_is_not_a_number_shows_in_its_own_frame_only() -> None:
    heads = [fold(a_head((8, 4), seed=seed)) for seed in (1, 2)]
    levels = some_levels((8, 4), (6, 6), 2)
    levels[0][1, 0, 2, 2] = float("nan")
    scores = HeadBanks().covering(heads).patch_scores(levels, heads, (6, 6))
    assert bool(torch.isfinite(scores[0]).all())
    assert bool(torch.isnan(scores[1, 2, 2]))


def test_a_batch_keeps_its_banks_when_a_release_replaces_a_head() -> None:
    old, other, new = (fold(a_head((8, 4), seed=seed)) for seed in (1, 2, 3))
    levels = some_levels((8, 4), (6, 6), 2)
    before = HeadBanks().covering([old, other])
    expected = before.patch_scores(levels, [old, other], (6, 6))
    after = before.covering([new])
    assert after is not before
    assert torch.equal(before.patch_scores(levels, [old, other], (6, 6)), expected)
    # Frames that were polled before the release may still come in a later batch.
    assert after.covering([old, other, new]) is after
    assert torch.equal(after.patch_scores(levels, [old, other], (6, 6)), expected)


def test_a_head_that_nobody_holds_leaves_with_the_next_release() -> None:
    def rows(banks: HeadBanks) -> int:
        return sum(len(bank.held) for bank in banks._banks.values())

    old, other, new = (fold(a_head((8, 4), seed=seed)) for seed in (1, 2, 3))
    banks = HeadBanks().covering([old, other])
    assert rows(banks) == 2
    del old
    gc.collect()
    banks = banks.covering([new])
    assert rows(banks) == 2
    levels = some_levels((8, 4), (6, 6), 2)
    torch.testing.assert_close(
        banks.patch_scores(levels, [new, other], (6, 6)), patch_scores(levels, [new, other], (6, 6))
    )


def test_another_ignored_area_needs_no_other_row() -> None:
    head = fold(a_head((8, 4)))
    banks = HeadBanks().covering([head])
    assert banks.covering([head.to(CPU, torch.float32)]) is banks


def default_head(seed: int, dtype: torch.dtype = torch.float32) -> FoldedHead:
    """A head as the trainer makes it, but with fewer components."""
    fit = defaults_for("efficientnet_lite0").fit
    components = tuple(16 if weight else 0 for weight in fit.distance_weights)
    shape = HeadShape((40, 112, 192), (40, 112, 192), components, fit.discriminators, fit.hidden, (16, 16))
    return fold(head_of(shape, seed)).to(CPU, dtype)


def default_levels(frames: int, dtype: torch.dtype) -> list[Tensor]:
    """Aggregated levels as the backbone gives them, channels innermost."""
    generator = torch.Generator().manual_seed(0)
    sizes = ((40, 16), (112, 16), (192, 8))
    return [
        torch.randn(frames, side, side, channels, generator=generator).to(dtype).permute(0, 3, 1, 2)
        for channels, side in sizes
    ]


def operators(banks: HeadBanks, heads: list[FoldedHead]) -> int:
    levels = default_levels(len(heads), heads[0].discriminators[0].bias.dtype)
    banks.patch_scores(levels, heads, (16, 16))
    with Operators() as seen:
        banks.patch_scores(levels, heads, (16, 16))
    return len(seen.computing)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_batch_of_many_lines_takes_as_many_operators_as_one_line(dtype: torch.dtype) -> None:
    heads = [default_head(line, dtype) for line in range(32)]
    banks = HeadBanks().covering(heads)
    mixed = operators(banks, [heads[frame // 2] for frame in range(64)])
    assert mixed == operators(banks, [heads[0]] * 64)
    assert mixed <= MOST_OPERATORS[dtype]
    assert operators(HeadBanks(), [heads[frame // 2] for frame in range(64)]) > 20 * mixed


def test_discriminators_alone_take_far_fewer() -> None:
    shape = HeadShape((40, 112, 192), (40, 112, 192), (0, 0, 0), ((0, 1), (0, 1, 2)), 256, (16, 16))
    heads = [fold(head_of(shape, line)) for line in range(32)]
    assert operators(HeadBanks().covering(heads), [heads[frame // 2] for frame in range(64)]) <= 20
