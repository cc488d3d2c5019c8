import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from trainer.features.patch_bank import standardise
from trainer.fitting.whitening import MAX_ADAPTED, SHRINKAGE, adapted_channels, whitening


def some_rows(channels: int, *, rank: int, seed: int = 0) -> Tensor:
    """Standardised features mixed from `rank` independent ones, whose scales were far apart."""
    random = torch.Generator().manual_seed(seed)
    mixing = torch.randn(rank, channels, generator=random) * torch.logspace(-2, 2, channels)
    rows = torch.randn(2_000, rank, generator=random) @ mixing + 3
    return torch.cat(list(standardise(torch.split(rows, 250), max_bytes=1 << 30).standardised_chunks()))


def covariance(rows: Tensor) -> Tensor:
    return (rows.T @ rows).double() / len(rows)


@settings(deadline=None, max_examples=20)
@given(channels=st.integers(1, 12), seed=st.integers(0, 999))
def test_whitened_features_have_the_identity_as_covariance(channels: int, seed: int) -> None:
    given_covariance = covariance(some_rows(channels, rank=4 * channels, seed=seed))
    shrunk = (1 - SHRINKAGE) * given_covariance + SHRINKAGE * torch.eye(channels)
    matrix = whitening(given_covariance).double()
    torch.testing.assert_close(matrix @ shrunk @ matrix.T, torch.eye(channels).double(), rtol=1e-3, atol=1e-3)


def test_a_direction_that_good_frames_lack_is_not_blown_up_without_bound() -> None:
    matrix = whitening(covariance(some_rows(6, rank=2)))
    assert bool(torch.isfinite(matrix).all())
    assert float(matrix.abs().max()) < 50


def test_whitening_is_symmetric() -> None:
    matrix = whitening(covariance(some_rows(5, rank=9)))
    torch.testing.assert_close(matrix, matrix.T)


def test_of_a_level_with_very_many_channels_the_directions_that_vary_most_are_kept() -> None:
    variances = torch.linspace(0.1, 2, MAX_ADAPTED + 8)
    matrix = whitening(torch.diag(variances))
    assert matrix.shape == (adapted_channels(len(variances)), len(variances)) == (MAX_ADAPTED, MAX_ADAPTED + 8)
    assert float(matrix[:, :8].abs().max()) == pytest.approx(0, abs=1e-6)
    whitened = (matrix * variances) @ matrix.T
    torch.testing.assert_close(whitened, torch.eye(MAX_ADAPTED), rtol=1e-2, atol=1e-2)
