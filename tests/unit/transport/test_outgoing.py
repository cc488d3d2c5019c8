"""Dead letters that fit, and the order in which things go out."""

from datetime import UTC, datetime

from qc_worker.domain.errors import Reason
from qc_worker.domain.frame import Position
from qc_worker.domain.inspection import DeadLetter, Inspection, Outcome, Verdict
from qc_worker.transport.outgoing import LONGEST_CONTENT_BYTES, dead_letter_record, outgoing_records

SOURCE = Position("images", 0, 7)
NOW = datetime(2026, 5, 4, tzinfo=UTC)


def letter(content: bytes) -> DeadLetter:
    return DeadLetter(SOURCE, b"A/cam1", content, (("line", b"A"),), Reason.TOO_LARGE, "too large")


def test_dead_letter_goes_out_before_its_inspection() -> None:
    inspection = Inspection(
        frame_id=None, line=None, camera=None, captured_at=NOW, scored_at=NOW, source=SOURCE, verdict=Verdict.ERROR
    )
    outcome = Outcome(inspection, b"A/cam1", letter(b"bytes"))
    records = list(outgoing_records(outcome, results_topic="results", dead_letter_topic="dead"))
    assert [record.topic for record in records] == ["dead", "results"]


def test_dead_letter_that_no_topic_would_take_is_cut_and_says_so() -> None:
    record = dead_letter_record("dead", letter(bytes(LONGEST_CONTENT_BYTES + 5)))
    assert len(record.content) == LONGEST_CONTENT_BYTES
    assert dict(record.headers)["qc-content-bytes"] == str(LONGEST_CONTENT_BYTES + 5).encode()


def test_dead_letter_that_fits_is_whole() -> None:
    record = dead_letter_record("dead", letter(bytes(LONGEST_CONTENT_BYTES)))
    assert len(record.content) == LONGEST_CONTENT_BYTES
    assert "qc-content-bytes" not in dict(record.headers)
