"""When a replay counts as the same."""

import io
from dataclasses import replace

import pytest
from rich.console import Console

from qc_worker.commands.replay_report import (
    OTHER_FORMAT_TOLERANCE,
    TOLERANCES,
    Replay,
    print_replay,
    replay_document,
)
from qc_worker.domain.errors import Reason
from qc_worker.domain.inspection import Inspection, Verdict
from qc_worker.simplenet.inference.precision import Precision
from tests.support import factories

OF_NO_FORMAT = replace(
    factories.outcome(factories.record(), Verdict.REJECT).inspection, score=10.0, threshold=4.0, model_version="v1"
)
REJECTED = replace(OF_NO_FORMAT, precision="float32")
BROKEN = replace(OF_NO_FORMAT, verdict=Verdict.ERROR, reason=Reason.UNDECODABLE, score=None, threshold=None)


def compared(recorded: Inspection | None, replayed: Inspection, precision: Precision = "auto") -> Replay:
    return Replay(recorded, replayed, precision, other_version=False)


@pytest.mark.parametrize(
    ("recorded", "replayed", "share"),
    [
        ("float32", "float32", TOLERANCES["float32"]),
        ("bfloat16", "bfloat16", TOLERANCES["bfloat16"]),
        ("bfloat16", "float32", OTHER_FORMAT_TOLERANCE),
        ("float32", "bfloat16", OTHER_FORMAT_TOLERANCE),
        ("float16", "float16", TOLERANCES["float16"]),
        ("float16", "bfloat16", OTHER_FORMAT_TOLERANCE),
        (None, "float32", OTHER_FORMAT_TOLERANCE),
    ],
)
def test_scores_may_be_apart_by_what_the_number_formats_explain(
    recorded: str | None, replayed: str, share: float
) -> None:
    published, again = replace(REJECTED, precision=recorded), replace(REJECTED, precision=replayed)
    assert compared(published, replace(again, score=10.0 + 9.0 * share)).same
    assert compared(published, replace(again, score=10.0 + 11.0 * share)).same is False


def test_a_report_says_why_the_number_formats_differ() -> None:
    of_bfloat16 = replace(REJECTED, precision="bfloat16")
    assert compared(REJECTED, REJECTED).other_format is None
    assert "does not compute in bfloat16" in str(compared(of_bfloat16, REJECTED).other_format)
    assert "as the setting `precision` demands" in str(compared(of_bfloat16, REJECTED, "float32").other_format)
    assert "is unknown" in str(compared(OF_NO_FORMAT, REJECTED).other_format)
    assert compared(BROKEN, BROKEN).other_format is None


def test_a_difference_in_number_formats_is_printed_and_in_the_document() -> None:
    replay = compared(replace(REJECTED, precision="bfloat16"), REJECTED)
    printed = io.StringIO()
    print_replay(replay, Console(file=printed, width=300))
    assert "recorded in bfloat16, judged again in float32" in printed.getvalue()
    assert replay_document(replay)["other_format"] == replay.other_format


def test_tolerance_of_a_score_near_nought_comes_from_the_threshold() -> None:
    assert compared(replace(REJECTED, score=0.0), REJECTED).tolerance == pytest.approx(4e-4)


def test_another_verdict_is_different_whatever_the_score() -> None:
    assert compared(REJECTED, replace(REJECTED, verdict=Verdict.PASS)).same is False


@pytest.mark.parametrize(("score", "told"), [(3.9999, True), (3.0, False)])
def test_a_verdict_that_rounding_alone_may_have_turned_is_told_as_such(score: float, told: bool) -> None:
    replay = compared(replace(REJECTED, score=4.0001), replace(REJECTED, score=score, verdict=Verdict.PASS))
    printed = io.StringIO()
    print_replay(replay, Console(file=printed, width=300))
    assert "Different verdict" in printed.getvalue()
    assert ("a threshold lies between them" in printed.getvalue()) is told
    assert replay.same is False


def test_failing_the_same_way_is_the_same_and_failing_in_another_is_not() -> None:
    assert compared(BROKEN, BROKEN).same
    assert compared(BROKEN, replace(BROKEN, reason=Reason.EMPTY)).same is False
    assert compared(BROKEN, REJECTED).same is False


def test_without_an_inspection_or_with_another_version_nothing_is_compared() -> None:
    assert compared(None, REJECTED).same is None
    assert replay_document(Replay(REJECTED, REJECTED, "auto", other_version=True))["same"] is None


@pytest.mark.parametrize(("part", "title"), [(None, "camera c\n"), ("4711", "camera c, part 4711\n")])
def test_a_replay_names_the_part_if_it_is_known(part: str | None, title: str) -> None:
    printed = io.StringIO()
    print_replay(compared(REJECTED, replace(REJECTED, part=part)), Console(file=printed, width=300))
    assert title in printed.getvalue()
