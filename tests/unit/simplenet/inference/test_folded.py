from dataclasses import replace

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from qc_worker.simplenet.head import Head
from qc_worker.simplenet.head_shape import HeadShape
from qc_worker.simplenet.inference.folded import FoldedHead, fold, patch_scores
from qc_worker.simplenet.patch_features import aggregate, coarsened, embed
from tests.unit.simplenet.factories import a_head, a_shape, head_of
from trainer.fitting.defaults import defaults_for
from trainer.fitting.mixture import component_count
from trainer.fitting.whitening import adapted_channels

SEEDS = st.integers(0, 999)
CPU = torch.device("cpu")
Size = tuple[int, int]


def some_levels(channels: tuple[int, ...], largest: Size, frames: int, seed: int) -> list[Tensor]:
    """Feature maps of which each has half the rows and columns of the one before, rounded up."""
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randn(frames, count, *(-(-side // 2**level) for side in largest), generator=generator)
        for level, count in enumerate(channels)
    ]


def scores_of(levels: list[Tensor], patch_size: int, heads: list[FoldedHead], grid: Size | None = None) -> Tensor:
    size = grid or (levels[0].shape[-2], levels[0].shape[-1])
    return patch_scores([coarsened(aggregate(level, patch_size), size) for level in levels], heads, size)


def plain_scores(head: Head, levels: list[Tensor], patch_size: int, grid: Size) -> Tensor:
    """In float64, so that what is left is the folded form's own rounding."""
    embedding = embed([level.double() for level in levels], patch_size, grid)
    scores = head.double().patch_scores(embedding).float()
    head.float()
    return scores


@st.composite
def shapes(draw: st.DrawFn, *, max_components: int = 4) -> HeadShape:
    """Any head of one to three levels that has at least one part."""
    channels = tuple(draw(st.lists(st.integers(1, 16), min_size=1, max_size=3)))
    levels = range(len(channels))
    adapted = tuple(draw(st.integers(1, own)) for own in channels)
    components = tuple(draw(st.integers(0, max_components)) for _ in levels)
    some = st.lists(st.sampled_from(levels), min_size=1, unique=True).map(lambda read: tuple(sorted(read)))
    least = 0 if any(components) else 1
    discriminators = tuple(draw(st.lists(some, min_size=least, max_size=2)))
    nearest = draw(st.integers(max_components, 2 * max_components))  # all of them: between fewer, rounding may choose
    return HeadShape(channels, adapted, components, discriminators, hidden=draw(st.integers(1, 40)), nearest=nearest)


@settings(deadline=None, max_examples=80)
@given(
    shape=shapes(),
    largest=st.tuples(st.integers(1, 17), st.integers(1, 17)),
    coarser=st.sampled_from([1, 2, 4]),
    patch_size=st.sampled_from([1, 3, 5]),
    seed=SEEDS,
)
def test_folded_and_plain_agree_to_1e_4(
    shape: HeadShape, largest: Size, coarser: int, patch_size: int, seed: int
) -> None:
    frames, grid = 1 + seed % 4, (-(-largest[0] // coarser), -(-largest[1] // coarser))
    cells = grid if seed % 2 else (1, 1)
    head = head_of(replace(shape, cells=cells), seed)
    levels = some_levels(shape.level_channels, largest, frames, seed)
    plain = plain_scores(head, levels, patch_size, grid)
    folded = scores_of(levels, patch_size, [fold(head)] * frames, grid)
    # Relative to what is summed up: a score near zero is a difference of large terms.
    torch.testing.assert_close(folded, plain, rtol=1e-4, atol=1e-4 * float(plain.abs().max().clamp_min(1)))


def test_with_more_components_than_are_measured_only_ties_may_differ() -> None:
    """Which components are nearest is decided in float32: where two are equally far, rounding may choose the other."""
    head = head_of(a_shape((12, 6), components=(40, 9)))
    levels = some_levels((12, 6), (16, 24), 4, seed=2)
    plain = plain_scores(head, levels, 3, (16, 24))
    folded = scores_of(levels, 3, [fold(head)] * 4)
    off = (folded - plain).abs() > 1e-4 * float(plain.abs().max())
    assert float(off.float().mean()) < 2e-3


@settings(deadline=None, max_examples=30)
@given(order=st.lists(st.integers(0, 2), min_size=1, max_size=9), seed=SEEDS)
def test_each_frame_is_judged_by_its_own_head_in_any_order(order: list[int], seed: int) -> None:
    heads = [fold(a_head((8, 4), hidden, seed + hidden)) for hidden in (3, 7, 11)]
    levels = some_levels((8, 4), (6, 6), len(order), seed)
    together = scores_of(levels, 3, [heads[line] for line in order])
    alone = [scores_of([level[i : i + 1] for level in levels], 3, [heads[line]]) for i, line in enumerate(order)]
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-4, atol=1e-3)


def test_long_runs_of_one_head_are_scored_like_short_ones() -> None:
    head = fold(a_head((2, 1), 64))
    levels = some_levels((2, 1), (160, 160), 4, seed=3)  # four frames of 6.5 MB of hidden activations each
    together = scores_of(levels, 3, [head] * 4)
    alone = [scores_of([level[i : i + 1] for level in levels], 3, [head]) for i in range(4)]
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-4, atol=1e-3)


def test_a_mask_head_is_folded_with_its_head() -> None:
    finer = head_of(a_shape((3, 2)), seed=1)
    head = a_head((4, 2))
    head.adopt(finer)
    folded, alone = fold(head), fold(finer)
    assert folded.mask_head is not None
    assert folded.bytes == fold(a_head((4, 2))).bytes + alone.bytes
    levels = some_levels((3, 2), (6, 6), 2, seed=4)
    assert torch.equal(patch_scores(levels, [folded.mask_head] * 2, (6, 6)), patch_scores(levels, [alone] * 2, (6, 6)))


def test_maps_that_were_scored_are_as_they_were() -> None:
    levels = some_levels((4, 2), (6, 6), 2, seed=1)
    before = [level.clone() for level in levels]
    patch_scores(levels, [fold(a_head())] * 2, (6, 6))
    assert all(torch.equal(one, other) for one, other in zip(before, levels, strict=True))


CHANNELS = {"efficientnet_lite0": (40, 112, 192), "wide_resnet50_2": (512, 1024)}


def test_a_resident_line_takes_less_than_20_mb_on_every_backbone() -> None:
    for backbone, channels in CHANNELS.items():
        defaults = defaults_for(backbone)
        fit, adapted = defaults.fit, tuple(map(adapted_channels, channels))
        measured = [own for own, weight in zip(adapted, fit.distance_weights, strict=True) if weight]
        count = component_count(fit.components, features=10**6, channels=measured, max_bytes=fit.max_whitener_bytes)
        components = tuple(count if weight else 0 for weight in fit.distance_weights)
        side = 256 // defaults.grid_stride
        shape = HeadShape(channels, adapted, components, fit.discriminators, fit.hidden, (side, side))
        folded = fold(Head(shape).eval().requires_grad_(False))
        assert folded.bytes < 20 << 20, backbone
        assert folded.to(CPU, torch.bfloat16).bytes < 12 << 20, backbone


def test_a_discriminator_holds_no_weights_for_levels_that_it_does_not_read() -> None:
    folded = fold(head_of(a_shape((4, 2, 3), discriminators=((1,), (0, 2)))))
    assert [[tuple(weight.shape) for weight in each.weights] for each in folded.discriminators] == [
        [(2, 5)],
        [(4, 5), (3, 5)],
    ]


def test_bfloat16_moves_scores_by_a_small_share_of_their_spread() -> None:
    head = fold(a_head((32, 16), 64, seed=5))
    levels = some_levels((32, 16), (12, 12), 4, seed=5)
    exact = scores_of(levels, 3, [head] * 4)
    rounded = scores_of([level.bfloat16() for level in levels], 3, [head.to(CPU, torch.bfloat16)] * 4)
    assert rounded.dtype == torch.float32
    assert float((rounded - exact).std()) < 0.03 * float(exact.std())
