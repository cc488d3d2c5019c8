import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qc_worker.simplenet.head import Head
from tests.unit.simplenet.factories import a_head
from trainer.cell_scores import CellRows, normalise_cells
from trainer.patch_bank import standardise

SIDE = 3
CELLS = SIDE * SIDE


def a_normalised_head(rows: torch.Tensor, cells: torch.Tensor) -> tuple[Head, torch.Tensor]:
    """A head and its scores of the rows before it was normalised."""
    features = standardise([rows], max_bytes=1 << 30)
    plain = a_head(4, 6)
    head = Head(4, 6, (SIDE, SIDE)).eval().requires_grad_(False)
    head.load_state_dict({**plain.state_dict(), "offset": head.offset, "scale": head.scale})
    head.standardiser.load_state_dict(features.standardiser.state_dict())
    patches = torch.cat(list(features.standardised_chunks()))
    raw = -head.discriminator(head.adaptor(patches))
    normalise_cells(head, CellRows(features, cells, (SIDE, SIDE)))
    return head, raw


def rows_and_cells(frames: int, seed: int, *, spread_of_last: float = 1.0) -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(seed)
    cells = torch.arange(CELLS).repeat(frames)
    rows = torch.randn(frames * CELLS, 4, generator=random)
    rows[cells == CELLS - 1] *= spread_of_last
    return rows, cells


@settings(deadline=None, max_examples=20)
@given(frames=st.integers(1, 40), seed=st.integers(0, 99))
def test_offset_and_scale_are_finite_and_positive_however_few_the_frames(frames: int, seed: int) -> None:
    head, _ = a_normalised_head(*rows_and_cells(frames, seed))
    assert bool(torch.isfinite(head.offset).all())
    assert bool((head.scale > 0).all())


def test_a_cells_offset_is_what_good_frames_score_there() -> None:
    rows, cells = rows_and_cells(5_000, 0, spread_of_last=4.0)
    head, raw = a_normalised_head(rows, cells)
    for cell in range(CELLS):
        mean = float(raw[cells == cell].mean())
        assert abs(float(head.offset.flatten()[cell]) - mean) < 0.02 * float(raw.std())


def test_a_cell_that_varies_more_is_judged_more_gently() -> None:
    head, _ = a_normalised_head(*rows_and_cells(500, 0, spread_of_last=4.0))
    scale = head.scale.flatten()
    assert float(scale[-1]) > 1.5 * float(scale[:-1].max())


def test_few_frames_lean_on_all_cells() -> None:
    few, _ = a_normalised_head(*rows_and_cells(2, 0, spread_of_last=4.0))
    many, _ = a_normalised_head(*rows_and_cells(500, 0, spread_of_last=4.0))
    assert float(few.offset.std() / few.scale.mean()) < float(many.offset.std() / many.scale.mean())


def test_a_cell_never_seen_takes_the_figures_of_all() -> None:
    rows, cells = rows_and_cells(50, 0)
    seen = cells != 4
    head, raw = a_normalised_head(rows[seen], cells[seen])
    assert abs(float(head.offset[1, 1]) - float(raw.mean())) < 0.1 * float(raw.std())


def test_offsets_lie_at_their_cells_in_a_grid_that_is_no_square() -> None:
    cells = torch.arange(6).repeat(2_000)
    rows = torch.randn(len(cells), 4, generator=torch.Generator().manual_seed(0))
    rows[cells == 5] *= 4
    features = standardise([rows], max_bytes=1 << 30)
    head = Head(4, 6, (2, 3)).eval().requires_grad_(False)
    head.standardiser.load_state_dict(features.standardiser.state_dict())
    normalise_cells(head, CellRows(features, cells, (2, 3)))
    assert head.scale.shape == (2, 3)
    assert int(head.scale.argmax()) == 5


def test_all_alike_frames_do_not_divide_by_zero() -> None:
    head, _ = a_normalised_head(torch.ones(90, 4), torch.arange(CELLS).repeat(10))
    assert bool((head.scale > 0).all())
