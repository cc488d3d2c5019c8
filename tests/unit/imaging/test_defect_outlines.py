import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qc_worker.imaging.defects import defective_pixels, half_height


@given(count=st.integers(1, 400), kinds=st.integers(1, 400), seed=st.integers(0, 999))
def test_half_of_the_height_is_exact(count: int, kinds: int, seed: int) -> None:
    values = np.random.default_rng(seed).integers(0, kinds, count).astype(np.float32) / 3
    for each in (values, np.sort(values), -np.sort(values)):
        assert half_height(each[None]) == (np.median(each.astype(np.float64)) + float(each.max())) / 2


@pytest.mark.parametrize(
    ("scores", "usual", "shown"),
    [
        ([0, 3, 8, 6, 0, 3, 0], 0.0, [1, 2, 3]),  # over 2.8; a region whose peak is below 5.4 does not count
        ([0, 3, 8, 6, 0, 6, 0], 0.0, [1, 2, 3, 5]),
        ([0, 3, 8, 6, 0, 5, 0], 3.0, [2, 3]),  # measured from what good frames have: over 4.75, peaks over 6.4
        ([0, 3, 8, 6, 0, 6, 0], 8.0, [2, 3]),  # not over it: from the median, 3
        ([0, 3, 8, 6, 0, 6, 0], None, [2, 3]),
        ([5, 5, 5], 1.0, [0, 1, 2]),
        ([5, 5, 5], None, [0, 1, 2]),
        ([-np.inf, 2, -np.inf], None, [1]),
        ([-np.inf, -np.inf], 0.0, []),
    ],
)
def test_the_strongest_defect_and_what_is_nearly_as_strong(
    scores: list[float], usual: float | None, shown: list[int]
) -> None:
    over = defective_pixels(np.array([scores], np.float32), usual)
    assert np.flatnonzero(over).tolist() == shown


@settings(deadline=None)
@given(
    size=st.tuples(st.integers(1, 16), st.integers(1, 16)),
    ignored=st.floats(0, 0.9),
    usual=st.none() | st.floats(-1, 2),
    seed=st.integers(0, 999),
)
def test_a_mask_has_the_peak_and_nothing_that_is_not_judged(
    size: tuple[int, int], ignored: float, usual: float | None, seed: int
) -> None:
    mask_map = np.random.default_rng(seed).random(size, dtype=np.float32)
    mask_map[np.random.default_rng(seed + 1).random(size) < ignored] = -np.inf
    mask_map[0, 0] = 0.25
    over = defective_pixels(mask_map, usual)
    assert over.ravel()[mask_map.argmax()]
    assert np.isfinite(mask_map[over]).all()
    if usual is not None and usual < mask_map.max():
        assert mask_map[over].min() > usual
