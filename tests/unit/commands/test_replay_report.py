"""When a replay counts as the same."""

from dataclasses import replace

import pytest

from qc_worker.commands.replay_report import TOLERANCES, Replay, replay_document
from qc_worker.domain.errors import Reason
from qc_worker.domain.inspection import Inspection, Verdict
from qc_worker.simplenet.precision import Precision
from tests import factories

REJECTED = replace(
    factories.outcome(factories.record(), Verdict.REJECT).inspection, score=10.0, threshold=4.0, model_version="v1"
)
BROKEN = replace(REJECTED, verdict=Verdict.ERROR, reason=Reason.UNDECODABLE, score=None, threshold=None)


def compared(recorded: Inspection | None, replayed: Inspection, precision: Precision = "float32") -> Replay:
    return Replay(recorded, replayed, precision, other_version=False)


@pytest.mark.parametrize("precision", TOLERANCES)
def test_scores_may_be_apart_by_what_the_number_format_explains(precision: Precision) -> None:
    allowed = 10.0 * TOLERANCES[precision]
    assert compared(REJECTED, replace(REJECTED, score=10.0 + 0.9 * allowed), precision).same
    assert compared(REJECTED, replace(REJECTED, score=10.0 + 1.1 * allowed), precision).same is False


def test_tolerance_of_a_score_near_nought_comes_from_the_threshold() -> None:
    assert compared(replace(REJECTED, score=0.0), REJECTED).tolerance == pytest.approx(4e-4)


def test_another_verdict_is_different_whatever_the_score() -> None:
    assert compared(REJECTED, replace(REJECTED, verdict=Verdict.PASS)).same is False


def test_failing_the_same_way_is_the_same_and_failing_in_another_is_not() -> None:
    assert compared(BROKEN, BROKEN).same
    assert compared(BROKEN, replace(BROKEN, reason=Reason.EMPTY)).same is False
    assert compared(BROKEN, REJECTED).same is False


def test_without_an_inspection_or_with_another_version_nothing_is_compared() -> None:
    assert compared(None, REJECTED).same is None
    assert replay_document(Replay(REJECTED, REJECTED, "float32", other_version=True))["same"] is None
