"""What each operating point would have decided."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qc_worker.domain.calibration import Calibration
from qc_worker.domain.inspection import Inspection, Verdict
from qc_worker.thresholds.table import RecentScores, operating_points, recent_scores, table
from tests.support import factories

CURRENT = Calibration(tuple(float(score) for score in range(99)), 0.03)


def inspection(score: float | None, version: str | None) -> Inspection:
    verdict = Verdict.NO_MODEL if version is None else Verdict.PASS
    judged = factories.outcome(factories.record(), verdict).inspection
    return replace(judged, score=score, model_version=version)


def test_only_rates_that_the_held_out_frames_support_are_shown_beside_the_current_one() -> None:
    alphas = [point.max_false_reject for point in operating_points(CURRENT, None, review_rate=None)]
    assert alphas == [0.01, 0.02, 0.03, 0.05, 0.1, 0.2]


def test_current_and_asked_for_are_marked_and_shown_once() -> None:
    asked_for = CURRENT.moved_to_score(90.5, review_rate=None)
    points = operating_points(CURRENT, asked_for, review_rate=None)
    rows = table(points, current=CURRENT, asked_for=asked_for, defects=(), recent=None)
    assert [row.calibration.threshold for row in rows if row.is_asked_for] == [90.5]
    assert [row.calibration.threshold for row in rows if row.is_current] == [96.0]
    assert len(operating_points(CURRENT, CURRENT, review_rate=None)) == 6
    assert len(operating_points(CURRENT.moved_to_rate(0.01, review_rate=None), None, review_rate=None)) == 5


def test_a_review_rate_goes_with_the_rates_below_it() -> None:
    points = operating_points(CURRENT, None, review_rate=0.05)
    assert [point.review_rate for point in points] == [0.05, 0.05, None, None, None, None]


@given(st.lists(st.floats(-10, 120), max_size=40), st.lists(st.floats(-10, 120), min_size=1, max_size=40))
def test_a_larger_rate_never_rejects_less(recent: list[float], defects: list[float]) -> None:
    points = operating_points(CURRENT, None, review_rate=None)
    rows = table(points, current=CURRENT, asked_for=None, defects=defects, recent=RecentScores(tuple(recent), 0, 0))
    rejected = [row.verdicts["reject"] for row in rows if row.verdicts]
    caught = [row.defects_rejected for row in rows if row.defects_rejected is not None]
    assert rejected == sorted(rejected)
    assert caught == sorted(caught)
    assert all(sum(row.verdicts.values()) == len(recent) for row in rows if row.verdicts)


def test_without_defects_and_inspections_nothing_is_counted() -> None:
    (row, *_) = table([CURRENT], current=CURRENT, asked_for=None, defects=(), recent=None)
    assert (row.defects_rejected, row.verdicts) == (None, None)
    assert row.promise.interval == pytest.approx((0.0063, 0.0716), abs=1e-3)


def test_scores_of_other_heads_are_left_out_and_counted() -> None:
    asked: list[str] = []

    def same_head(version: str) -> bool:
        asked.append(version)
        return version != "v9"

    seen = [inspection(1.0, "v1"), inspection(2.0, "v9"), inspection(3.0, "v2"), inspection(4.0, "v1")]
    found = recent_scores([*seen, inspection(None, None)], same_head)
    assert found == RecentScores((1.0, 3.0, 4.0), other_models=1, not_judged=1)
    assert sorted(asked) == ["v1", "v2", "v9"]
