import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from qc_worker.simplenet.local_whitening import LocalWhitening, local_distances, nearest_components

SEEDS = st.integers(0, 999)

NEAREST = 4


def a_whitening(components: int, channels: int, seed: int = 0) -> LocalWhitening:
    random = torch.Generator().manual_seed(seed)
    whitening = LocalWhitening(channels, components, NEAREST)
    whitening.centres.copy_(3 * torch.randn(components, channels, generator=random))
    whitening.whiteners.copy_(torch.randn(components, channels, channels, generator=random))
    return whitening


def some_features(count: int, channels: int, seed: int = 0) -> Tensor:
    return 3 * torch.randn(count, channels, generator=torch.Generator().manual_seed(seed + 1_000))


def assert_same(whitening: LocalWhitening, features: Tensor) -> None:
    expected = whitening(features)
    found = local_distances(features, whitening.centres, whitening.whiteners, NEAREST)
    assert found.shape == (len(features),)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4 * float(expected.max()))


@settings(deadline=None, max_examples=100)
@given(count=st.integers(1, 300), components=st.integers(1, 40), channels=st.integers(1, 12), seed=SEEDS)
def test_distances_in_blocks_are_those_one_by_one(count: int, components: int, channels: int, seed: int) -> None:
    assert_same(a_whitening(components, channels, seed), some_features(count, channels, seed))


@settings(deadline=None, max_examples=20)
@given(count=st.integers(1, 300), components=st.integers(1, 40), seed=SEEDS)
def test_features_that_lie_all_in_one_component_are_no_exception(count: int, components: int, seed: int) -> None:
    whitening = a_whitening(components, 5, seed)
    whitening.centres[1:] += 1_000
    assert_same(whitening, some_features(count, 5, seed))


def test_equal_features_have_equal_distances() -> None:
    whitening, features = a_whitening(9, 4), some_features(1, 4).repeat(77, 1)
    assert_same(whitening, features)
    assert len(set(local_distances(features, whitening.centres, whitening.whiteners, NEAREST).tolist())) == 1


def test_equal_components_are_one() -> None:
    whitening, features = a_whitening(1, 4), some_features(20, 4)
    expected = whitening(features)
    found = local_distances(features, whitening.centres.repeat(6, 1), whitening.whiteners.repeat(6, 1, 1), NEAREST)
    torch.testing.assert_close(found, expected)


def test_a_feature_at_a_centre_has_no_distance() -> None:
    whitening = a_whitening(7, 4)
    assert local_distances(whitening.centres, whitening.centres, whitening.whiteners, NEAREST).tolist() == [0.0] * 7


@settings(deadline=None, max_examples=30)
@given(count=st.integers(1, 30), components=st.integers(1, 12), seed=SEEDS)
def test_the_distance_is_the_least_of_the_nearest_components(count: int, components: int, seed: int) -> None:
    whitening, features = a_whitening(components, 3, seed), some_features(count, 3, seed)
    for feature, distance in zip(features, whitening(features).tolist(), strict=True):
        away = (whitening.centres - feature).norm(dim=1)
        nearest = away.argsort()[:NEAREST]
        own = [float(((feature - whitening.centres[k]) @ whitening.whiteners[k]).norm()) for k in nearest.tolist()]
        assert abs(distance - min(own)) <= 1e-3 * max(1.0, min(own))


def test_as_many_components_are_measured_as_there_are_up_to_a_few() -> None:
    features = some_features(5, 3)
    assert [nearest_components(features, a_whitening(k, 3).centres, 4).shape[1] for k in (1, 2, 4, 9)] == [1, 2, 4, 4]


def test_short_whiteners_give_nearly_the_same_distances() -> None:
    whitening, features = a_whitening(9, 16), some_features(200, 16)
    exact = whitening(features)
    rounded = local_distances(features, whitening.centres, whitening.whiteners.bfloat16(), NEAREST)
    assert rounded.dtype == torch.float32
    torch.testing.assert_close(rounded, exact, rtol=0.05, atol=0.05)


def test_what_is_not_a_number_shows_in_the_distance() -> None:
    whitening, features = a_whitening(9, 4), some_features(6, 4)
    features[2, 1] = float("nan")
    found = local_distances(features, whitening.centres, whitening.whiteners, NEAREST)
    assert torch.isnan(found).nonzero().flatten().tolist() == [2]
