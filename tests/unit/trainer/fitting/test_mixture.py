import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from qc_worker.simplenet.fit_settings import FitSettings
from qc_worker.simplenet.local_whitening import LocalWhitening
from trainer.fitting.mixture import MAX_FEATURES, MIN_FEATURES_EACH, component_count, fit_mixture

MAX_WHITENER_BYTES = FitSettings().max_whitener_bytes


def fitted(features: Tensor, components: int) -> LocalWhitening:
    whitening = LocalWhitening(features.shape[1], components, nearest=4)
    fit_mixture(whitening, features)
    return whitening


def some_features(count: int, channels: int, seed: int = 0) -> Tensor:
    return torch.randn(count, channels, generator=torch.Generator().manual_seed(seed))


@given(
    wanted=st.integers(1, 5_000),
    features=st.integers(0, 10**7),
    channels=st.lists(st.integers(1, 2_000), min_size=1, max_size=4),
)
def test_components_are_as_many_as_wanted_where_features_and_memory_support_them(
    wanted: int, features: int, channels: list[int]
) -> None:
    count = component_count(wanted, features=features, channels=channels, max_bytes=MAX_WHITENER_BYTES)
    assert 1 <= count <= wanted
    if count > 1:
        assert count * MIN_FEATURES_EACH <= min(features, MAX_FEATURES)
        assert 4 * count * sum(own**2 for own in channels) <= MAX_WHITENER_BYTES


def test_the_packaged_backbones_levels_get_all_that_are_wanted() -> None:
    assert component_count(256, features=MAX_FEATURES, channels=(40, 112), max_bytes=MAX_WHITENER_BYTES) == 256


def test_isotropic_features_are_left_as_they_are() -> None:
    features = some_features(20_000, 5)
    whitening = fitted(features, 1)
    torch.testing.assert_close(whitening.centres, torch.zeros(1, 5), rtol=0, atol=0.05)
    torch.testing.assert_close(whitening.whiteners[0], torch.eye(5), rtol=0, atol=0.05)


@settings(deadline=None, max_examples=15)
@given(components=st.integers(1, 6), seed=st.integers(0, 99))
def test_squared_distances_of_good_features_have_their_number_of_channels_as_mean(components: int, seed: int) -> None:
    mixing = torch.diag(torch.logspace(-1, 1, 4))
    features = some_features(6_000, 4, seed) @ mixing
    squares = fitted(features, components)(features).square()
    assert 0.5 * 4 < float(squares.mean()) < 1.3 * 4


def test_a_narrow_cluster_beside_a_wide_one_is_judged_by_its_own_spread() -> None:
    narrow = 0.05 * some_features(2_000, 4)
    wide = 2 * some_features(2_000, 4, seed=1) + 20
    features = torch.cat([narrow, wide])[torch.randperm(4_000, generator=torch.Generator().manual_seed(0))]
    odd = torch.full((1, 4), 1.0)  # twenty deviations off the narrow one, half of one of the wide one's
    locally, globally = (float(fitted(features, count)(odd)) for count in (2, 1))
    assert globally < 3
    assert locally > 10


def test_the_same_features_give_the_same_bits() -> None:
    features = some_features(3_000, 6)
    one, other = fitted(features, 9), fitted(features.clone(), 9)
    assert torch.equal(one.centres, other.centres)
    assert torch.equal(one.whiteners, other.whiteners)


@pytest.mark.parametrize("components", [1, 8])
def test_features_that_are_all_alike_make_finite_whiteners(components: int) -> None:
    """All clusters but one are empty."""
    whitening = fitted(torch.ones(100, 3), components)
    assert bool(torch.isfinite(whitening.whiteners).all())
    assert bool(torch.isfinite(whitening(torch.zeros(2, 3))).all())


def test_features_beyond_the_limit_have_no_say() -> None:
    features = some_features(MAX_FEATURES + 500, 2)
    changed = features.clone()
    changed[MAX_FEATURES:] += 100
    assert torch.equal(fitted(features, 3).centres, fitted(changed, 3).centres)
