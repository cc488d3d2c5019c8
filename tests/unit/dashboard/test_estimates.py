"""Intervals against the binomial of Clopper and Pearson, against the truth of simulated shifts, and at their ends."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta

from qc_dashboard.reporting.estimates import Stratum, estimate, estimate_of_strata, interval


@st.composite
def reviews(draw: st.DrawFn) -> tuple[int, int, int]:
    frames = draw(st.integers(0, 400))
    reviewed = draw(st.integers(0, frames))
    return frames, reviewed, draw(st.integers(0, reviewed))


@given(review=reviews())
def test_interval_holds_what_is_known_and_the_estimate(review: tuple[int, int, int]) -> None:
    frames, reviewed, wrong = review
    found = estimate(frames, reviewed=reviewed, wrong=wrong)
    assert wrong <= found.low <= found.high <= frames - (reviewed - wrong)
    if found.estimated is not None:
        assert found.low <= found.estimated <= found.high


@given(review=reviews())
def test_review_of_every_frame_leaves_no_doubt(review: tuple[int, int, int]) -> None:
    frames, _, wrong = review
    assert interval(frames, reviewed=frames, wrong=wrong) == (wrong, wrong)
    assert interval(frames, reviewed=0, wrong=0) == (0, frames)


@pytest.mark.parametrize(("reviewed", "wrong"), [(50, 0), (50, 1), (200, 7), (1000, 1000), (30, 15)])
def test_interval_of_very_many_frames_is_that_of_clopper_and_pearson(reviewed: int, wrong: int) -> None:
    frames = 10_000_000
    low, high = (bound / frames for bound in interval(frames, reviewed=reviewed, wrong=wrong))
    expected_low = beta.ppf(0.025, wrong, reviewed - wrong + 1) if wrong else 0.0
    expected_high = beta.ppf(0.975, wrong + 1, reviewed - wrong) if wrong < reviewed else 1.0
    assert low == pytest.approx(expected_low, rel=1e-3, abs=1e-6)
    assert high == pytest.approx(expected_high, rel=1e-3, abs=1e-6)


@pytest.mark.parametrize(("frames", "wrong", "reviewed"), [(300, 9, 60), (5_000, 40, 400), (80, 40, 40)])
def test_interval_covers_the_truth_of_simulated_shifts_as_often_as_it_says(
    frames: int, wrong: int, reviewed: int
) -> None:
    drawn = np.random.default_rng(7).hypergeometric(wrong, frames - wrong, reviewed, size=2_000)
    bounds = {int(k): interval(frames, reviewed=reviewed, wrong=int(k)) for k in np.unique(drawn)}
    covered = np.mean([bounds[int(k)][0] <= wrong <= bounds[int(k)][1] for k in drawn])
    assert covered >= 0.95
    assert np.mean(drawn) * frames / reviewed == pytest.approx(wrong, rel=0.1)


def test_strata_together_cover_the_truth_and_weigh_by_their_frames() -> None:
    random, truths = np.random.default_rng(11), ((4_000, 20, 40), (1_000, 30, 100))
    covered, estimates = 0, []
    for _ in range(300):
        strata = [
            Stratum(frames, reviewed, int(random.hypergeometric(wrong, frames - wrong, reviewed)))
            for frames, wrong, reviewed in truths
        ]
        found = estimate_of_strata(strata)
        covered += found.low <= 50 <= found.high
        estimates.append(found.estimated or 0.0)
    assert covered >= 0.95 * 300
    assert np.mean(estimates) == pytest.approx(50, rel=0.15)


def test_nothing_reviewed_gives_no_estimate() -> None:
    assert estimate(10, reviewed=0, wrong=0).estimated is None
    assert estimate_of_strata([Stratum(10, 0, 0), Stratum(5, 5, 1)]).estimated is None
    with pytest.raises(ValueError, match="cannot be"):
        interval(3, reviewed=4, wrong=0)
