from dataclasses import replace

from qc_worker.domain.errors import Reason
from qc_worker.domain.inspection import DeadLetter
from qc_worker.transport.limits import MAX_DEAD_LETTER_BYTES, MAX_RECORD_BYTES
from qc_worker.transport.outgoing import OutgoingRecord, outgoing_records
from tests.support import factories

HUGE = bytes(30 * 1024 * 1024)


def records(letter: DeadLetter) -> list[OutgoingRecord]:
    outcome = replace(factories.outcome(factories.record(0)), key=letter.key, dead_letter=letter)
    return list(outgoing_records(outcome, results_topic="results", dead_letter_topic="dlq"))


def letter(
    *, key: bytes = b"A/cam", content: bytes = b"x", headers: tuple[tuple[str, bytes], ...] = (("line", b"A"),)
) -> DeadLetter:
    position = factories.record(0).position
    return DeadLetter(position, key, content, headers, Reason.BAD_HEADERS, "why")


def size(record: OutgoingRecord) -> int:
    headers = sum(len(name) + len(text) for name, text in record.headers)
    return len(record.key or b"") + len(record.content) + headers


def test_whatever_a_record_brings_its_outcome_fits_its_topics() -> None:
    hostile = letter(key=HUGE, content=HUGE, headers=(("line", HUGE),))
    dead_letter, inspection = records(hostile)
    assert size(dead_letter) < MAX_DEAD_LETTER_BYTES
    assert size(inspection) < MAX_RECORD_BYTES


def test_what_was_cut_is_told() -> None:
    told = dict(records(letter(content=HUGE, headers=(("line", HUGE),)))[0].headers)
    assert told["qc-content-bytes"] == str(len(HUGE)).encode()
    assert told["qc-header-bytes"] == str(len(HUGE) + len("line")).encode()
    assert told["qc-reason"] == b"bad_headers"


def test_an_ordinary_dead_letter_keeps_key_bytes_and_headers() -> None:
    dead_letter, _ = records(letter())
    assert (dead_letter.key, dead_letter.content) == (b"A/cam", b"x")
    assert dead_letter.headers[0] == ("line", b"A")
    assert not {"qc-content-bytes", "qc-header-bytes"} & {name for name, _ in dead_letter.headers}
