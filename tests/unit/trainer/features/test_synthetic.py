import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.features.synthetic import (
    MIN_DEFECT_PIXELS,
    SYNTHETIC_KINDS,
    VISIBLE_GREY_LEVELS,
    defect_of_kind,
    synthetic_defect,
)


def a_surface(seed: int = 0, size: tuple[int, int] = (96, 96)) -> torch.Tensor:
    """Fine stripes with grain, darker to one side; uint8 (3, H, W)."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[: size[0], : size[1]]
    grey = 110 + 25 * np.sin(columns / 2) + 0.4 * rows + random.normal(0, 6, size)
    return torch.from_numpy(np.repeat(grey.clip(0, 255).astype(np.uint8)[None], 3, axis=0))


@pytest.mark.parametrize("kind", SYNTHETIC_KINDS)
@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 10_000), size=st.sampled_from([(96, 96), (64, 112), (112, 64)]))
def test_the_mask_is_where_the_picture_changed(kind: str, seed: int, size: tuple[int, int]) -> None:
    good = a_surface(size=size)
    altered, mask = defect_of_kind(kind, good, np.random.default_rng(seed))
    assert (altered.shape, altered.dtype) == (good.shape, torch.uint8)
    assert mask.shape == tuple(good.shape[1:])
    changed = (altered.int() - good.int()).abs().amax(0).numpy()
    assert mask.sum() >= MIN_DEFECT_PIXELS
    assert changed[~mask].max(initial=0) < VISIBLE_GREY_LEVELS
    assert (changed[mask] > 0).mean() > 0.5
    assert mask.mean() < 0.5


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 10_000))
def test_the_same_seed_draws_the_same_defect_and_leaves_the_good_picture_alone(seed: int) -> None:
    good = a_surface()
    before = good.clone()
    first, first_mask = synthetic_defect(good, np.random.default_rng(seed))
    second, second_mask = synthetic_defect(good, np.random.default_rng(seed))
    assert torch.equal(first, second)
    assert np.array_equal(first_mask, second_mask)
    assert torch.equal(good, before)


@pytest.mark.parametrize("grey", [0, 128, 255])
def test_even_pictures_get_a_defect_too(grey: int) -> None:
    even = torch.full((3, 64, 64), grey, dtype=torch.uint8)
    for kind in SYNTHETIC_KINDS:
        _, mask = defect_of_kind(kind, even, np.random.default_rng(0))
        assert mask.any(), kind


def test_defects_differ_in_size_and_strength() -> None:
    good = a_surface()
    areas = [synthetic_defect(good, np.random.default_rng(seed))[1].mean() for seed in range(40)]
    assert max(areas) > 20 * min(areas)
