import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from qc_worker.domain.frame import Position
from qc_worker.domain.inspection import Inspection, Verdict
from qc_worker.embedded.demo.report import DemoReport, LatencyMs
from qc_worker.embedded.demo.tally import (
    SentFrame,
    Tally,
    image_auroc,
    latency,
    reject_quality,
    verdict_counts,
)

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def make_inspection(frame_id: str, line: str = "A", *, ms: float = 10, **changes: object) -> Inspection:
    inspection = Inspection(
        frame_id=frame_id,
        line=line,
        camera="cam1",
        captured_at=NOON,
        scored_at=NOON + timedelta(milliseconds=ms),
        source=Position("images", 0, 0),
        verdict=Verdict.PASS,
        model_version="v1",
        score=0.0,
        threshold=1.0,
    )
    return replace(inspection, **changes)  # type: ignore[arg-type]


def make_tally(*frame_ids: str, line: str = "A", defect: str | None = None) -> Tally:
    tally = Tally()
    for frame_id in frame_ids:
        tally.record_sent(SentFrame(frame_id, line, defect))
    return tally


def make_report(**changes: object) -> DemoReport:
    report = DemoReport(
        frames_sent=1,
        inspections=1,
        duplicates=0,
        missing=0,
        verdicts={"A": {"pass": 1}},
        frames_per_s=14.996,
        latency_ms=LatencyMs(1.23, 4.56, 7.89),
        image_auroc={"A": math.nan},
        model_versions={"A": ("v1", "v2")},
        swap_s=0.5,
    )
    return replace(report, **changes)  # type: ignore[arg-type]


def test_a_frame_without_inspection_is_missing() -> None:
    tally = make_tally("1", "2", "3")
    tally.record_inspection(make_inspection("2"))

    assert (tally.frames_sent, tally.inspections, tally.missing, tally.duplicates) == (3, 1, 2, 0)


def test_a_second_inspection_of_a_frame_is_a_duplicate_and_hides_no_missing_one() -> None:
    tally = make_tally("1", "2")
    tally.record_inspection(make_inspection("1"))
    tally.record_inspection(make_inspection("1"))

    assert (tally.inspections, tally.missing, tally.duplicates) == (2, 1, 1)


def test_inspections_of_others_frames_do_not_count() -> None:
    tally = make_tally("1")
    tally.record_inspection(make_inspection("somebody-else"))
    tally.record_inspection(replace(make_inspection("1"), frame_id=None))

    assert (tally.inspections, tally.missing, tally.duplicates) == (0, 1, 0)


def test_model_versions_are_listed_in_order_of_appearance() -> None:
    tally = make_tally("1", "2", "3")
    tally.record_inspection(make_inspection("2", ms=30, model_version="v2"))
    tally.record_inspection(make_inspection("1", ms=20, model_version="v3"))
    tally.record_inspection(make_inspection("3", ms=10, model_version="v2"))

    assert tally.model_versions("A") == ("v2", "v3")
    assert tally.model_versions("B") == ()
    assert tally.first_scored_at("A", "v2") == NOON + timedelta(milliseconds=10)


def test_verdicts_and_rejects_are_counted_by_line() -> None:
    tally = make_tally("1", "2", defect="dent")
    tally.record_sent(SentFrame("3", "A", None))
    for frame_id in ("1", "2", "3"):
        tally.record_inspection(make_inspection(frame_id, verdict=Verdict.REJECT))
    quality = reject_quality(tally.judged("A"))

    assert verdict_counts(tally.judged("A")) == {"reject": 3}
    assert verdict_counts(tally.judged("B")) == {}
    assert (quality.rejects, quality.right) == (3, 2)


def test_scores_of_two_versions_are_compared_from_their_thresholds() -> None:
    tally = make_tally("bad", defect="dent")
    tally.record_sent(SentFrame("good", "A", None))
    tally.record_inspection(make_inspection("good", score=9.0, threshold=10.0))
    tally.record_inspection(make_inspection("bad", score=2.0, threshold=1.0))

    assert image_auroc(tally.judged("A")) == 1.0


def test_latency_is_taken_from_capture_to_verdict() -> None:
    tally = make_tally(*map(str, range(1, 101)))
    for ms in range(1, 101):
        tally.record_inspection(make_inspection(str(ms), ms=ms))
    spent = latency(tally.judged())

    assert (spent.p50, spent.p99) == pytest.approx((50.5, 99.01))


def test_figures_that_there_are_not_are_null_in_the_document() -> None:
    document = make_report(latency_ms=latency([]), swap_s=None).document()

    assert document["image_auroc"] == {"A": None}
    assert document["latency_ms"] == {"p50": None, "p95": None, "p99": None}
    assert document["swap_s"] is None


def test_the_document_has_the_published_keys() -> None:
    assert list(make_report().document()) == [
        "frames_sent",
        "inspections",
        "duplicates",
        "missing",
        "verdicts",
        "frames_per_s",
        "latency_ms",
        "image_auroc",
        "model_versions",
        "swap_s",
        "dashboard",
    ]


@pytest.mark.parametrize("change", [{"missing": 1}, {"duplicates": 1}, {"swap_s": None}])
def test_a_lost_or_double_frame_or_a_model_not_taken_up_spoils_the_demo(change: dict[str, object]) -> None:
    assert make_report().sound
    assert not make_report(**change).sound
