import numpy as np
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from qc_worker.simplenet.anomaly_map import anomaly_maps, image_scores
from qc_worker.simplenet.localise import without_padding
from qc_worker.simplenet.preprocessing import content_box
from qc_worker.simplenet.spec import Aspect


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


def test_image_score_is_the_maximum_of_its_own_map() -> None:
    maps = torch.zeros(3, 8, 8)
    maps[0, 1, 2], maps[2, 7, 7] = 5.0, -1.0
    maps[1] -= 2.0
    assert image_scores(maps).tolist() == [5.0, -2.0, 0.0]


SIZES = st.tuples(st.integers(1, 300), st.integers(1, 300))
ASPECTS: st.SearchStrategy[Aspect] = st.sampled_from(["pad", "squash"])


@settings(deadline=None)
@given(
    frames=st.lists(st.tuples(SIZES, ASPECTS), min_size=1, max_size=6),
    input_size=st.tuples(st.integers(8, 40), st.integers(8, 40)),
    seed=st.integers(0),
)
def test_image_score_is_the_maximum_of_what_localising_looks_at(
    frames: list[tuple[tuple[int, int], Aspect]], input_size: tuple[int, int], seed: int
) -> None:
    maps = torch.randn(len(frames), *input_size, generator=torch.Generator().manual_seed(seed % 2**32))
    boxes = [content_box(size, input_size, aspect) for size, aspect in frames]
    expected = [
        float(without_padding(one.numpy(), size, aspect).max())
        for one, (size, aspect) in zip(maps, frames, strict=True)
    ]
    assert image_scores(maps, boxes).tolist() == expected


def test_what_is_not_a_number_in_the_picture_shows_in_the_score() -> None:
    maps = torch.zeros(2, 8, 8)
    maps[0, 4, 4] = maps[1, 0, 0] = float("nan")  # the second lies in the padding
    assert torch.isnan(image_scores(maps, [content_box((4, 8), (8, 8), "pad")] * 2)).tolist() == [True, False]
