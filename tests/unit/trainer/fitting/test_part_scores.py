import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from qc_worker.simplenet.head import Head
from qc_worker.simplenet.head_shape import HeadShape
from tests.unit.simplenet.factories import a_shape, head_of
from trainer.features.patch_bank import PatchBank, standardise
from trainer.fitting.part_scores import CellRows, PartWeights, normalise_parts

SIDE = 3
CELLS = SIDE * SIDE
ONE_DISTANCE = a_shape((4,), 6, discriminators=(), cells=(SIDE, SIDE))
TWO_OF_EACH = a_shape((2, 2), 6, cells=(SIDE, SIDE))


def normalised(
    rows: Tensor,
    cells: Tensor,
    shape: HeadShape = ONE_DISTANCE,
    *,
    weights: tuple[float, ...] = (1.0,),
    learned_weight: float = 0.5,
) -> tuple[Head, Tensor]:
    """A head and its parts' scores of the rows before it was normalised, (parts, N)."""
    features = standardise([rows], max_bytes=1 << 30)
    head = head_of(shape)
    head.offset.zero_()
    head.scale.fill_(1)
    head.standardiser.load_state_dict(features.standardiser.state_dict())
    before = head.part_scores(rows)
    judged = CellRows(PatchBank((rows,)), cells, shape.cells)
    normalise_parts([head], [(head, judged)], PartWeights(weights, learned_weight))
    return head, before


def normal_scores(head: Head, rows: Tensor, cells: Tensor) -> Tensor:
    """Parts' scores as they are added. Shape: (parts, N)."""
    offset, scale = head.offset.flatten(1)[:, cells], head.scale.flatten(1)[:, cells]
    return (head.part_scores(rows) - offset) / scale


def rows_and_cells(frames: int, seed: int = 0, *, spread_of_last: float = 1.0) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(seed)
    cells = torch.arange(CELLS).repeat(frames)
    rows = torch.randn(frames * CELLS, 4, generator=random)
    rows[cells == CELLS - 1] *= spread_of_last
    return rows, cells


@settings(deadline=None, max_examples=20)
@given(frames=st.integers(1, 40), seed=st.integers(0, 99))
def test_offset_and_scale_are_finite_and_positive_however_few_the_frames(frames: int, seed: int) -> None:
    head, _ = normalised(*rows_and_cells(frames, seed), TWO_OF_EACH, weights=(0.5, 1.0))
    assert bool(torch.isfinite(head.offset).all())
    assert bool(torch.isfinite(head.scale).all())
    assert bool((head.scale > 0).all())


@settings(deadline=None, max_examples=20)
@given(frames=st.integers(2, 40), seed=st.integers(0, 99), first=st.floats(0.05, 4), learned_weight=st.floats(0.1, 2))
def test_the_distances_sum_spreads_by_one_each_discriminator_by_its_weight(
    frames: int, seed: int, first: float, learned_weight: float
) -> None:
    rows, cells = rows_and_cells(frames, seed)
    head, _ = normalised(rows, cells, TWO_OF_EACH, weights=(first, 1.0), learned_weight=learned_weight)
    parts = normal_scores(head, rows, cells)
    assert float(parts[:2].sum(dim=0).std()) == pytest.approx(1, rel=1e-3)
    assert parts[2:].std(dim=1).tolist() == pytest.approx([learned_weight] * 2, rel=1e-3)
    assert parts[2:].mean(dim=1).tolist() == pytest.approx([0, 0], abs=1e-3)


def test_distances_are_added_by_their_weights() -> None:
    rows, cells = rows_and_cells(300)
    head, _ = normalised(rows, cells, TWO_OF_EACH, weights=(0.25, 1.0))
    first, second, *_ = normal_scores(head, rows, cells).std(dim=1).tolist()
    assert first / second == pytest.approx(0.25, rel=0.1)


def test_a_cells_offset_is_what_good_frames_score_there() -> None:
    rows, cells = rows_and_cells(5_000, spread_of_last=4.0)
    head, before = normalised(rows, cells)
    for cell in range(CELLS):
        mean = float(before[0, cells == cell].mean())
        assert abs(float(head.offset.flatten()[cell]) - mean) < 0.02 * float(before.std())


def test_a_cell_that_varies_more_is_judged_more_gently() -> None:
    head, _ = normalised(*rows_and_cells(500, spread_of_last=4.0))
    scale = head.scale.flatten()
    assert float(scale[-1]) > 1.5 * float(scale[:-1].max())


def test_discriminators_are_normalised_over_all_cells_alike() -> None:
    head, _ = normalised(*rows_and_cells(100, spread_of_last=4.0), TWO_OF_EACH, weights=(1.0, 1.0))
    for tensor in (head.offset, head.scale):
        assert tensor[2:].flatten(1).std(dim=1).tolist() == pytest.approx([0, 0], abs=1e-6)
        assert min(tensor[:2].flatten(1).std(dim=1).tolist()) > 1e-3


def test_few_frames_lean_on_all_cells() -> None:
    few, _ = normalised(*rows_and_cells(2, spread_of_last=4.0))
    many, _ = normalised(*rows_and_cells(500, spread_of_last=4.0))
    assert float(few.offset.std() / few.scale.mean()) < float(many.offset.std() / many.scale.mean())


def test_a_cell_never_seen_takes_the_figures_of_all() -> None:
    rows, cells = rows_and_cells(50)
    seen = cells != 4
    head, before = normalised(rows[seen], cells[seen])
    assert abs(float(head.offset[0, 1, 1]) - float(before.mean())) < 0.1 * float(before.std())
    assert bool(torch.isfinite(head.scale).all())


def test_offsets_lie_at_their_cells_in_a_grid_that_is_no_square() -> None:
    cells = torch.arange(6).repeat(2_000)
    rows = torch.randn(len(cells), 4, generator=torch.Generator().manual_seed(0))
    rows[cells == 5] *= 4
    head, _ = normalised(rows, cells, a_shape((4,), 6, discriminators=(), cells=(2, 3)))
    assert head.scale.shape == (1, 2, 3)
    assert int(head.scale.argmax()) == 5


def test_all_alike_frames_do_not_divide_by_zero() -> None:
    head, _ = normalised(torch.ones(90, 4), torch.arange(CELLS).repeat(10), TWO_OF_EACH, weights=(1.0, 1.0))
    assert bool((head.scale > 0).all())


def test_a_head_without_distances_has_its_discriminators_alone() -> None:
    rows, cells = rows_and_cells(20)
    head, _ = normalised(rows, cells, a_shape((2, 2), components=(0, 0), cells=(SIDE, SIDE)), weights=())
    assert normal_scores(head, rows, cells).std(dim=1).tolist() == pytest.approx([0.5, 0.5], rel=1e-3)


def test_all_heads_get_the_figures_of_those_that_judge() -> None:
    rows, cells = rows_and_cells(60)
    half = len(rows) // 2
    judging = [head_of(ONE_DISTANCE, seed=seed) for seed in (1, 2)]
    live = head_of(ONE_DISTANCE, seed=3)
    judged = [
        (head, CellRows(PatchBank((rows[part],)), cells[part], ONE_DISTANCE.cells))
        for head, part in zip(judging, (slice(half), slice(half, None)), strict=True)
    ]
    normalise_parts([*judging, live], judged, PartWeights((1.0,), 0.5))
    assert torch.equal(judging[0].offset, live.offset)
    assert torch.equal(judging[1].scale, live.scale)
    scores = [normal_scores(head, of_head.bank.blocks[0], of_head.cells) for head, of_head in judged]
    assert float(torch.cat(scores, dim=1).std()) == pytest.approx(1, rel=1e-3)
