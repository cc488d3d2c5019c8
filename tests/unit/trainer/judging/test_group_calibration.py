import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import binomtest

from trainer.judging.calibrate import calibrate
from trainer.judging.group_calibration import (
    calibrate_by_groups,
    effective_frames,
    pooled_threshold,
    threshold_for_new_groups,
)

FRAMES = 40


def draw(random: np.random.Generator, n_groups: int, tau: float) -> tuple[list[float], list[str]]:
    """Skewed scores of frames (standard deviation 1), in groups that are shifted against each other."""
    shifts = random.normal(0, tau, n_groups)
    scores = shifts[:, None] + (random.gamma(3, 1, (n_groups, FRAMES)) - 3) / math.sqrt(3)
    return scores.ravel().tolist(), [f"g{group}" for group in range(n_groups) for _ in range(FRAMES)]


def in_groups(scores: list[float], n_groups: int) -> list[NDArray[np.float64]]:
    return list(np.array(scores).reshape(n_groups, FRAMES))


def realised(n_groups: int, tau: float, alpha: float, trials: int = 100) -> tuple[float, float]:
    """Rates on 200 new groups, averaged over calibrations: by groups, and over all frames."""
    random = np.random.default_rng(n_groups)
    by_groups, pooled = [], []
    for _ in range(trials):
        frames = in_groups(draw(random, n_groups, tau)[0], n_groups)
        new = np.array(draw(random, 200, tau)[0])
        by_groups.append(float((new > threshold_for_new_groups(frames, alpha)).mean()))
        pooled.append(float((new > pooled_threshold(frames, alpha)).mean()))
    return float(np.mean(by_groups)), float(np.mean(pooled))


@pytest.mark.parametrize("n_groups", [3, 4, 6, 12])
def test_new_groups_exceed_the_threshold_at_about_the_rate_asked_for_and_the_pooled_one_far_more_often(
    n_groups: int,
) -> None:
    by_groups, pooled = realised(n_groups, tau=2.0, alpha=0.01)
    assert by_groups <= 0.02
    assert pooled > 2 * by_groups


def test_two_groups_say_too_little_but_halve_the_rate() -> None:
    by_groups, pooled = realised(2, tau=2.0, alpha=0.01, trials=200)
    assert by_groups < 0.6 * pooled


def test_groups_that_do_not_differ_cost_nothing() -> None:
    random = np.random.default_rng(0)
    raised = []
    for _ in range(40):
        found = calibrate_by_groups(*draw(random, 8, 0.0), 0.05)
        raised.append(found.threshold - found.pooled_threshold)
    assert np.median(raised) == 0
    assert np.mean(raised) < 0.05


def test_the_rate_is_that_of_each_group_at_a_threshold_set_without_it() -> None:
    random = np.random.default_rng(3)
    scores, groups = draw(random, 5, 1.0)
    labels, values = np.array(groups), np.array(scores)
    expected = []
    for label in sorted(set(groups)):
        rest = values[labels != label]
        pooled = calibrate(rest.tolist(), alpha=0.05, review_rate=None).threshold
        expected.append((values[labels == label] > pooled).mean())
    found = calibrate_by_groups(scores, groups, 0.05)
    assert found.pooled_rate == pytest.approx(np.mean(expected))
    assert found.rate is not None
    assert found.pooled_rate is not None
    assert found.rate <= found.pooled_rate


@settings(deadline=None, max_examples=30)
@given(n_groups=st.integers(2, 8), tau=st.floats(0, 3), alpha=st.floats(0.02, 0.3), seed=st.integers(0, 99))
def test_the_threshold_is_never_below_the_conformal_one_and_its_interval_holds_the_rate(
    n_groups: int, tau: float, alpha: float, seed: int
) -> None:
    scores, groups = draw(np.random.default_rng(seed), n_groups, tau)
    found = calibrate_by_groups(scores, groups, alpha)
    assert found.pooled_threshold == calibrate(scores, alpha=alpha, review_rate=None).threshold
    assert found.threshold >= found.pooled_threshold
    assert found.rate is not None
    assert found.interval is not None
    assert 0 <= found.interval[0] <= found.rate <= found.interval[1] <= 1


@settings(deadline=None, max_examples=30)
@given(shift=st.floats(-100, 100), scale=st.floats(0.01, 100), seed=st.integers(0, 99))
def test_the_threshold_moves_with_the_scores(shift: float, scale: float, seed: int) -> None:
    scores, groups = draw(np.random.default_rng(seed), 5, 1.0)
    found = calibrate_by_groups(scores, groups, 0.05)
    moved = calibrate_by_groups([shift + scale * score for score in scores], groups, 0.05)
    assert moved.threshold == pytest.approx(shift + scale * found.threshold, rel=1e-6, abs=1e-6)


def test_one_group_gets_the_conformal_threshold_and_no_rate() -> None:
    found = calibrate_by_groups([float(score) for score in range(50)], ["a"] * 50, 0.1)
    assert (found.threshold, found.groups, found.rate, found.interval) == (found.pooled_threshold, 1, None, None)


def test_groups_of_one_frame_each_are_as_good_as_none() -> None:
    found = calibrate_by_groups([float(score) for score in range(50)], [f"g{n}" for n in range(50)], 0.1)
    assert found.threshold == found.pooled_threshold


@given(n_groups=st.integers(2, 6), seed=st.integers(0, 99))
def test_effective_frames_lie_between_groups_and_frames(n_groups: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    by_group = [random.normal(random.normal(0, 2), 1, 20) for _ in range(n_groups)]
    assert n_groups <= effective_frames(by_group) <= 20 * n_groups


def test_without_differences_between_groups_the_interval_is_that_of_all_frames() -> None:
    frames = [float(score) for score in range(40)]
    found = calibrate_by_groups([*frames, *frames], ["a"] * 40 + ["b"] * 40, 0.05)
    assert found.rate is not None
    above = round(found.rate * 80)
    exact = binomtest(above, 80).proportion_ci(0.95, method="exact")
    assert found.interval == pytest.approx((exact.low, exact.high), abs=1e-9)


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf])
def test_scores_that_are_not_finite_or_have_no_group_are_refused(score: float) -> None:
    with pytest.raises(ValueError, match="finite scores only"):
        calibrate_by_groups([1.0, score], ["a", "b"], 0.1)
    with pytest.raises(ValueError, match="one group for each score"):
        calibrate_by_groups([1.0, 2.0], ["a"], 0.1)
