import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from qc_worker.simplenet.checkpoint import head_sha256
from qc_worker.simplenet.fit_settings import FitSettings
from qc_worker.simplenet.head import Head
from qc_worker.simplenet.head_shape import check_shape
from tests.unit.trainer.factories import no_progress
from trainer.features.mask_rows import (
    CLEAR_SHARE,
    COVERED_SHARE,
    DEFECTIVE,
    EACH,
    FAR,
    NEAR,
    NEAR_CELLS,
    drawn_rows,
    joined_rows,
)
from trainer.fitting.mask_head_fit import MaskTask, discriminator_count, fit_mask_head

SIDES = st.integers(2, 40)
SIDE = 24
CELL = 4
CHANNELS = (5, 3)
QUICK = FitSettings(steps=80, patches_per_step=256, discriminator_lr=5e-3, components=4)


def a_defect(height: int, width: int, seed: int) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    top, left = (int(torch.randint(side, (1,), generator=random)) for side in (height, width))
    mask = torch.zeros(height, width, dtype=torch.bool)
    mask[top : top + 1 + seed % 9, left : left + 1 + seed % 13] = True
    return mask


@settings(deadline=None)
@given(rows=SIDES, columns=SIDES, seed=st.integers(0, 999), shares=st.floats(0.1, 1))
def test_each_kind_of_cell_is_what_it_is_called(rows: int, columns: int, seed: int, shares: float) -> None:
    mask = a_defect(rows * CELL, columns * CELL, seed)
    judged = torch.rand(rows * columns, generator=torch.Generator().manual_seed(seed)) < shares
    embedding = torch.arange(rows * columns, dtype=torch.float16)[:, None]
    found = joined_rows([drawn_rows(embedding, mask, (rows, columns), judged, seed)], (rows, columns))
    assert found.features.shape == (len(found.kinds), 1)
    assert torch.equal(found.features[:, 0].long(), found.cells)
    assert bool(judged[found.cells].all())
    assert max(torch.bincount(found.kinds, minlength=3).tolist()) <= EACH
    share = mask.float().view(rows, CELL, columns, CELL).mean(dim=(1, 3))
    touched = share.nonzero().float()
    for kind, cell in zip(found.kinds.tolist(), found.cells.tolist(), strict=True):
        own = float(share.flatten()[cell])
        place = torch.tensor([cell // columns, cell % columns])
        distance = float((touched - place).abs().amax(dim=1).min())
        if kind == DEFECTIVE:
            assert own >= min(COVERED_SHARE, float(share.max()))
        else:
            assert own <= CLEAR_SHARE
            assert (distance > NEAR_CELLS) == (kind == FAR)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_places_survive_sixteen_bits(kind: torch.dtype) -> None:
    rows, columns = 300, 511
    mask = torch.zeros(rows, columns, dtype=torch.bool)
    mask[297, 509] = True
    found = joined_rows(
        [drawn_rows(torch.ones(rows * columns, 2, dtype=kind), mask, (rows, columns), None, 0)], (rows, columns)
    )
    assert found.cells[found.kinds == DEFECTIVE].tolist() == [297 * columns + 509]
    far = found.cells[found.kinds == FAR]
    assert len(far) == EACH
    assert int(far.max()) > 65_536


def test_rows_are_drawn_by_the_seed_alone() -> None:
    embedding, mask = torch.randn(SIDE * SIDE, 3), a_defect(SIDE, SIDE, 5)
    one, same, other = (drawn_rows(embedding, mask, (SIDE, SIDE), None, seed) for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def frames_with_a_defect(count: int, seed: int = 0) -> list[Tensor]:
    """Features that stand out under the defect, and a column of cells that is odd on every frame."""
    random = torch.Generator().manual_seed(seed)
    blocks = []
    for frame in range(count):
        mask = a_defect(SIDE, SIDE, seed + frame)
        embedding = torch.randn(SIDE, SIDE, sum(CHANNELS), generator=random)
        embedding[:, 0] *= 4
        embedding[mask] += 3
        blocks.append(drawn_rows(embedding.flatten(0, 1), mask, (SIDE, SIDE), None, frame))
    return blocks


def a_task(**changes: object) -> MaskTask:
    fields: dict[str, object] = {
        "rows": frames_with_a_defect(60), "grid": (SIDE, SIDE), "level_channels": CHANNELS, "settings": QUICK,
        "seed": 0, "device": torch.device("cpu"), "dtype": torch.float32,
    }  # fmt: skip
    return MaskTask(**{**fields, **changes})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def head() -> Head:
    return fit_mask_head(a_task(), advance=no_progress)


def test_cells_under_a_defect_score_higher_than_those_beside_it(head: Head) -> None:
    rows = joined_rows(frames_with_a_defect(10, seed=100), (SIDE, SIDE))
    scores = (
        (head.part_scores(rows.features) - head.offset.flatten(1)[:, rows.cells])
        .div(head.scale.flatten(1)[:, rows.cells])
        .sum(dim=0)
    )
    medians = [float(scores[rows.kinds == kind].median()) for kind in (FAR, NEAR, DEFECTIVE)]
    assert medians[2] > medians[1] + 2
    assert medians[2] > medians[0] + 2


def test_cells_that_vary_on_good_frames_are_judged_more_gently(head: Head) -> None:
    distances = head.scale[: len(head.shape.distances)]
    assert float(distances[:, :, 0].min()) > 1.2 * float(distances[:, :, 5:].mean())


def test_the_same_rows_and_seed_give_the_same_bits(head: Head) -> None:
    assert head_sha256(fit_mask_head(a_task(), advance=no_progress)) == head_sha256(head)
    assert head_sha256(fit_mask_head(a_task(seed=1), advance=no_progress)) != head_sha256(head)


def test_the_coarsest_of_several_levels_is_read_by_one_discriminator_alone(head: Head) -> None:
    check_shape(head.shape)
    assert head.shape.distances == (0,)
    assert head.shape.discriminators == ((0,), (0, 1))
    assert head.shape.cells == (SIDE, SIDE)


def test_on_a_grid_where_nothing_is_far_from_a_defect_its_surroundings_are_usual() -> None:
    side = NEAR_CELLS + 1
    blocks = []
    for seed in range(60):
        mask = torch.zeros(side, side, dtype=torch.bool)
        mask[seed % side, seed // side % side] = True
        mask[side // 2, side // 2] = True
        embedding = torch.randn(side * side, sum(CHANNELS), generator=torch.Generator().manual_seed(seed))
        embedding[mask.flatten()] += 3
        blocks.append(drawn_rows(embedding, mask, (side, side), None, seed))
    head = fit_mask_head(a_task(rows=blocks, grid=(side, side)), advance=no_progress)
    assert bool(torch.isfinite(head.offset).all())


def test_one_level_does_everything() -> None:
    head = fit_mask_head(a_task(level_channels=(sum(CHANNELS),)), advance=no_progress)
    assert (head.shape.distances, head.shape.discriminators) == ((0,), ((0,),))
    assert [discriminator_count(levels) for levels in (1, 2, 3)] == [1, 2, 2]


def test_every_step_is_told() -> None:
    told: list[int] = []

    def advance(steps: int, note: str = "") -> None:
        told.append(steps)

    fit_mask_head(a_task(), advance=advance)
    assert sum(told) == 2 * QUICK.steps
