import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from qc_worker.simplenet.folded import FoldedHead, HiddenUnits, fold, patch_scores
from qc_worker.simplenet.head import Head
from qc_worker.simplenet.patch_features import aggregate, embed
from tests.unit.simplenet.factories import a_head

SEEDS = st.integers(0, 999)


def some_levels(channels: list[int], largest: tuple[int, int], frames: int, seed: int) -> list[Tensor]:
    """Feature maps of which each has half the rows and columns of the one before, rounded up."""
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randn(frames, count, *(-(-side // 2**level) for side in largest), generator=generator)
        for level, count in enumerate(channels)
    ]


def scores_of(levels: list[Tensor], patch_size: int, heads: list[FoldedHead]) -> Tensor:
    return patch_scores([aggregate(level, patch_size) for level in levels], heads)


def blind_in_blocks(head: Head, channels: list[int], seed: int) -> None:
    """Let hidden units read some levels only, as heads that are made level by level do; one may read none."""
    head.adaptor.projection.weight.copy_(torch.diag(torch.diag(head.adaptor.projection.weight)))
    reads = torch.randint(0, 2, (head.hidden, len(channels)), generator=torch.Generator().manual_seed(seed))
    head.discriminator.body.weight.mul_(reads.repeat_interleave(torch.tensor(channels), dim=1))


@settings(deadline=None, max_examples=60)
@given(
    channels=st.lists(st.integers(1, 24), min_size=1, max_size=3),
    hidden=st.integers(1, 40),
    largest=st.tuples(st.integers(1, 17), st.integers(1, 17)),
    patch_size=st.sampled_from([1, 3, 5]),
    seed=SEEDS,
)
def test_folded_and_plain_agree_to_1e_4(
    channels: list[int], hidden: int, largest: tuple[int, int], patch_size: int, seed: int
) -> None:
    frames = 1 + seed % 4
    head = a_head(sum(channels), hidden, seed, cells=largest)
    blind_in_blocks(head, channels, seed)
    levels = some_levels(channels, largest, frames, seed)
    plain = head.double().patch_scores(embed([level.double() for level in levels], patch_size)).float()
    folded = scores_of(levels, patch_size, [fold(head.float(), channels)] * frames)
    # Relative to what is summed up: a score near zero is a difference of large terms.
    torch.testing.assert_close(folded, plain, rtol=1e-4, atol=1e-4 * float(plain.abs().max()))


@settings(deadline=None, max_examples=30)
@given(order=st.lists(st.integers(0, 2), min_size=1, max_size=9), seed=SEEDS)
def test_each_frame_is_judged_by_its_own_head_in_any_order(order: list[int], seed: int) -> None:
    heads = [fold(a_head(12, hidden, seed + hidden), [8, 4]) for hidden in (3, 7, 11)]
    levels = some_levels([8, 4], (6, 6), len(order), seed)
    together = scores_of(levels, 3, [heads[line] for line in order])
    alone = [scores_of([level[i : i + 1] for level in levels], 3, [heads[line]]) for i, line in enumerate(order)]
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-4, atol=1e-4)


def test_long_runs_of_one_head_are_scored_like_short_ones() -> None:
    head = fold(a_head(3, 64), [2, 1])
    levels = some_levels([2, 1], (160, 160), 2, seed=3)  # two frames of 6.5 MB of hidden activations each
    together = scores_of(levels, 3, [head, head])
    alone = [scores_of([level[i : i + 1] for level in levels], 3, [head]) for i in range(2)]
    torch.testing.assert_close(together, torch.cat(alone))


def test_a_wide_resnet_head_takes_less_than_20_mb() -> None:
    channels, hidden, cells = [512, 1024], 1024, 32
    units = HiddenUnits(
        (0, 1), tuple(torch.empty(c, hidden) for c in channels), torch.empty(hidden), torch.empty(hidden)
    )
    folded = FoldedHead((units,), torch.empty(cells, cells), torch.empty(cells, cells))
    assert folded.bytes < 7 << 20
    assert folded.to(torch.device("cpu"), torch.bfloat16).bytes < 4 << 20


def test_units_that_read_one_level_hold_no_weights_for_the_others() -> None:
    head = a_head(6, 8)
    blind_in_blocks(head, [4, 2], seed=1)
    folded = fold(head, [4, 2])
    assert sum(len(unit.tail) for unit in folded.units) == 8
    assert all(len(unit.levels) == len(unit.weights) for unit in folded.units)
    assert len({unit.levels for unit in folded.units}) == len(folded.units) > 1


def test_bfloat16_moves_scores_by_a_small_share_of_their_spread() -> None:
    head = fold(a_head(48, 64, seed=5), [32, 16])
    levels = some_levels([32, 16], (12, 12), 4, seed=5)
    exact = scores_of(levels, 3, [head] * 4)
    rounded = scores_of([level.bfloat16() for level in levels], 3, [head.to(torch.device("cpu"), torch.bfloat16)] * 4)
    assert rounded.dtype == torch.float32
    assert float((rounded - exact).std()) < 0.02 * float(exact.std())


def test_levels_that_are_not_the_heads_are_refused() -> None:
    with pytest.raises(ValueError, match="levels of 5 channels, but the head takes 6"):
        fold(a_head(6), [2, 3])
