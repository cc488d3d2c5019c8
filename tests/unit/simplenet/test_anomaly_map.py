import math

import numpy as np
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from qc_worker.imaging.aspect import Aspect
from qc_worker.imaging.preprocessing import content_box
from qc_worker.simplenet.anomaly_map import TOP_SHARE, anomaly_maps, image_scores
from qc_worker.simplenet.regions import judged_parts
from tests.unit.simplenet.factories import an_embedding_spec


@settings(deadline=None, max_examples=40)
@given(
    cells=st.tuples(st.integers(1, 20), st.integers(1, 20)),
    input_size=st.tuples(st.integers(20, 70), st.integers(20, 70)),
    seed=st.integers(0, 999),
)
def test_map_is_bilinear_resize_then_gaussian_of_sigma_4(
    cells: tuple[int, int], input_size: tuple[int, int], seed: int
) -> None:
    patch_scores = torch.randn(2, *cells, generator=torch.Generator().manual_seed(seed))
    resized = F.interpolate(patch_scores[:, None], size=input_size, mode="bilinear", align_corners=False)[:, 0]
    expected = np.stack([gaussian_filter(frame.numpy(), sigma=4) for frame in resized])
    torch.testing.assert_close(anomaly_maps(patch_scores, input_size), torch.from_numpy(expected), rtol=1e-4, atol=1e-5)


SIDES = st.tuples(st.integers(1, 20), st.integers(1, 20))


def literal_score(cells: list[float]) -> float:
    highest = sorted(cells, reverse=True)[: max(1, round(TOP_SHARE * len(cells)))]
    return sum(highest) / len(highest)


def some_cells(frames: int, size: tuple[int, int], seed: int) -> torch.Tensor:
    """Rounded, so that many are equal."""
    return torch.randn(frames, *size, generator=torch.Generator().manual_seed(seed)).round(decimals=1)


@settings(deadline=None)
@given(size=SIDES, seed=st.integers(0, 999))
def test_image_score_is_the_mean_of_the_highest_cells(size: tuple[int, int], seed: int) -> None:
    cells = some_cells(3, size, seed)
    expected = [literal_score(frame.flatten().tolist()) for frame in cells]
    torch.testing.assert_close(image_scores(cells), torch.tensor(expected), rtol=1e-5, atol=1e-6)


@settings(deadline=None)
@given(size=SIDES, share=st.floats(0, 1), seed=st.integers(0, 999))
def test_cells_that_are_not_judged_have_no_say(size: tuple[int, int], share: float, seed: int) -> None:
    cells = some_cells(3, size, seed)
    judged = torch.rand(3, *size, generator=torch.Generator().manual_seed(seed + 1)) <= share
    judged[:, 0, 0] = True
    expected = [literal_score(frame[mask].tolist()) for frame, mask in zip(cells, judged, strict=True)]
    torch.testing.assert_close(image_scores(cells, judged), torch.tensor(expected), rtol=1e-5, atol=1e-6)
    odd = torch.where(judged, cells, float("nan"))
    assert torch.equal(image_scores(odd, judged), image_scores(cells, judged))


def test_one_cell_at_least_makes_the_score() -> None:
    assert image_scores(torch.tensor([[[1.0, 5.0], [2.0, -1.0]]])).tolist() == [5.0]


def test_a_frame_without_a_judged_cell_has_no_finite_score() -> None:
    assert image_scores(torch.zeros(1, 4, 4), torch.zeros(1, 4, 4, dtype=torch.bool)).tolist() == [-math.inf]


def test_a_single_odd_cell_weighs_less_than_several() -> None:
    cells = torch.zeros(2, 16, 16)
    cells[0, 3, 3] = cells[1, 3, 3] = cells[1, 3, 4] = cells[1, 4, 3] = 1.0
    one, several = image_scores(cells).tolist()
    assert one < several


def test_what_is_not_a_number_in_the_picture_shows_in_the_score() -> None:
    cells, judged = torch.zeros(2, 8, 8), torch.ones(2, 8, 8, dtype=torch.bool)
    cells[0, 4, 4] = cells[1, 0, 0] = float("nan")
    judged[1, :2] = False  # the second frame's lies in its padding
    assert torch.isnan(image_scores(cells, judged)).tolist() == [True, False]
    assert torch.isnan(image_scores(cells)).tolist() == [True, True]


SIZES = st.tuples(st.integers(1, 300), st.integers(1, 300))
ASPECTS: st.SearchStrategy[Aspect] = st.sampled_from(["pad", "squash"])


@settings(deadline=None)
@given(frames=st.lists(st.tuples(SIZES, ASPECTS), min_size=1, max_size=6), grid_stride=st.sampled_from([8, 16]))
def test_the_cells_that_count_are_those_whose_centre_lies_in_the_picture(
    frames: list[tuple[tuple[int, int], Aspect]], grid_stride: int
) -> None:
    spec = an_embedding_spec(input_size=(72, 104), grid_stride=grid_stride)
    boxes = [content_box(size, spec.input_size, aspect) for size, aspect in frames]
    judged = judged_parts(spec, [None] * len(frames), boxes)
    if judged is None:
        assert all((box.height, box.width) == spec.input_size for box in boxes)
        return
    for mask, box in zip(judged, boxes, strict=True):
        assert bool(mask.any())
        inside = [
            box.top <= (row + 0.5) * 72 / spec.grid[0] < box.top + box.height
            and box.left <= (column + 0.5) * 104 / spec.grid[1] < box.left + box.width
            for row, column in np.ndindex(*spec.grid)
        ]
        if any(inside):
            assert mask.flatten().tolist() == inside
