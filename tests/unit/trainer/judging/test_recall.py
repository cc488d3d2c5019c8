import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from trainer.judging.recall import allowed_rejects, recall_at, roc_curve, threshold_at

# Few distinct values, so that ties are common.
SCORES = st.lists(st.integers(0, 6).map(float), min_size=1, max_size=40)
RATES = st.floats(0, 1)


@given(good=SCORES, rate=RATES)
def test_no_lower_threshold_rejects_as_few_good_images(good: list[float], rate: float) -> None:
    threshold = threshold_at(good, rate)
    assert sum(score > threshold for score in good) <= allowed_rejects(len(good), rate)
    if threshold != -math.inf:
        lower = np.nextafter(threshold, -math.inf)
        assert sum(score > lower for score in good) > allowed_rejects(len(good), rate)


@given(good=SCORES, defect=SCORES, rate=RATES)
def test_recall_is_the_best_that_any_threshold_allows(good: list[float], defect: list[float], rate: float) -> None:
    thresholds = [-math.inf, *good, *defect]
    allowed = [t for t in thresholds if sum(score > t for score in good) <= rate * len(good) + 1e-9]
    best = max((sum(score > t for score in defect) / len(defect) for t in allowed), default=0.0)
    assert recall_at(good, defect, rate) == pytest.approx(best)


def test_few_good_images_allow_no_reject_at_one_percent() -> None:
    good = [float(number) for number in range(39)]
    assert threshold_at(good, 0.01) == 38
    assert recall_at(good, [38.0, 39.0], 0.01) == 0.5
    assert (allowed_rejects(39, 0.05), allowed_rejects(100, 0.07)) == (1, 7)


def test_images_tied_at_the_threshold_all_pass() -> None:
    good = [0.0] * 90 + [5.0] * 10
    assert threshold_at(good, 0.05) == 5.0
    assert recall_at(good, [5.0, 6.0], 0.05) == 0.5


def test_recall_of_nothing_is_not_a_number() -> None:
    assert math.isnan(recall_at([], [1.0], 0.01))
    assert math.isnan(recall_at([1.0], [], 0.01))


@given(good=SCORES, defect=SCORES)
def test_area_under_the_curve_is_the_auroc(good: list[float], defect: list[float]) -> None:
    curve = roc_curve(good, defect)
    assert (curve[0].tolist(), curve[-1].tolist()) == ([0, 0], [1, 1])
    assert (np.diff(curve, axis=0) >= 0).all()
    labels = [0] * len(good) + [1] * len(defect)
    assert np.trapezoid(curve[:, 1], curve[:, 0]) == pytest.approx(roc_auc_score(labels, good + defect))
