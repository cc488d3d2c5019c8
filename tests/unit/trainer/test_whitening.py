import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.patch_bank import PatchFeatures, standardise
from trainer.whitening import SHRINKAGE, whitening


def features(channels: int, *, rank: int, seed: int = 0, max_bytes: int = 1 << 30) -> PatchFeatures:
    """Frames whose channels are mixed from `rank` independent ones, with scales far apart."""
    random = torch.Generator().manual_seed(seed)
    mixing = torch.randn(rank, channels, generator=random) * torch.logspace(-2, 2, channels)
    rows = torch.randn(2_000, rank, generator=random) @ mixing + 3
    return standardise(torch.split(rows, 250), max_bytes=max_bytes)


@settings(deadline=None, max_examples=20)
@given(channels=st.integers(1, 12), seed=st.integers(0, 999))
def test_whitened_features_have_the_identity_as_covariance(channels: int, seed: int) -> None:
    given_features = features(channels, rank=4 * channels, seed=seed)
    rows = torch.cat(list(given_features.standardised_chunks())).double()
    shrunk = (1 - SHRINKAGE) * rows.T @ rows / len(rows) + SHRINKAGE * torch.eye(channels)
    matrix = whitening(given_features).double()
    torch.testing.assert_close(matrix @ shrunk @ matrix, torch.eye(channels).double(), rtol=1e-3, atol=1e-3)


def test_a_direction_that_good_frames_lack_is_not_blown_up_without_bound() -> None:
    matrix = whitening(features(6, rank=2))
    assert bool(torch.isfinite(matrix).all())
    assert float(matrix.abs().max()) < 50


def test_whitening_is_symmetric() -> None:
    matrix = whitening(features(5, rank=9))
    torch.testing.assert_close(matrix, matrix.T)


def test_features_mapped_from_disk_are_whitened_by_the_same_bits() -> None:
    assert torch.equal(whitening(features(5, rank=9)), whitening(features(5, rank=9, max_bytes=1)))


def test_chunks_are_the_whole_bank_in_order() -> None:
    given_features = features(3, rank=3)
    expected = given_features.patches(torch.arange(2_000))
    assert torch.equal(torch.cat(list(given_features.standardised_chunks())), expected)


@pytest.mark.parametrize("max_bytes", [1, 1 << 30])
def test_features_of_some_channels_are_those_columns(max_bytes: int) -> None:
    whole = features(5, rank=9, max_bytes=max_bytes)
    index = torch.arange(0, 2_000, 7)
    assert torch.equal(whole.of_channels(slice(1, 4)).patches(index), whole.patches(index)[:, 1:4])
