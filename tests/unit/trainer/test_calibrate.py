import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta

from qc_worker.domain.errors import TrainingError
from qc_worker.domain.inspection import Verdict
from trainer.calibrate import calibrate, promise


@settings(deadline=None, max_examples=15)
@given(n=st.integers(20, 60), alpha=st.floats(0.05, 0.3), seed=st.integers(0, 1_000))
def test_the_mean_false_reject_rate_stays_below_alpha_on_exchangeable_scores(n: int, alpha: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    rates = []
    for _ in range(400):
        scores = random.lognormal(size=n + 20)
        calibration = calibrate(scores[:n].tolist(), alpha=alpha, review_rate=None)
        rates.append(np.mean(scores[n:] > calibration.threshold))
    # Four standard errors: the bound holds for the expectation.
    assert np.mean(rates) <= alpha + 4 * np.std(rates) / math.sqrt(len(rates))


@given(n=st.integers(20, 500), alpha=st.floats(0.05, 0.4))
def test_the_interval_is_that_of_the_beta_distribution(n: int, alpha: float) -> None:
    k = math.floor(alpha * (n + 1) + 1e-9)
    coverage = beta(n + 1 - k, k)
    found = promise(calibrate(np.arange(n).tolist(), alpha=alpha, review_rate=None))
    assert found.interval == pytest.approx((1 - coverage.ppf(0.975), 1 - coverage.ppf(0.025)), abs=1e-9)
    assert (found.n, found.alpha, found.smallest_alpha) == (n, alpha, 1 / (n + 1))


def test_scores_that_are_not_finite_are_refused() -> None:
    with pytest.raises(TrainingError, match="not finite"):
        calibrate([1.0, math.nan], alpha=0.4, review_rate=None)


def test_a_review_rate_below_alpha_is_refused() -> None:
    with pytest.raises(TrainingError, match="review_rate"):
        calibrate([1.0, 2.0, 3.0], alpha=0.4, review_rate=0.3)


def test_the_grey_zone_lies_below_the_threshold() -> None:
    calibration = calibrate([float(score) for score in range(100)], alpha=0.02, review_rate=0.1)
    assert calibration.verdict(calibration.threshold) is Verdict.REVIEW
    assert calibration.verdict(calibration.review_threshold) is Verdict.PASS
