"""Builds the records that are published for each judged record, for any broker."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from qc_worker.domain.inspection import DeadLetter, Inspection, Outcome
from qc_worker.transport.limits import MAX_DEAD_LETTER_BYTES, RECORD_HEADROOM_BYTES
from qc_worker.wire.dead_letters import dead_letter_headers
from qc_worker.wire.headers import CONTENT_BYTES_HEADER, HEADER_BYTES_HEADER, INSPECTION_TYPE, write_headers
from qc_worker.wire.json_types import encode_inspection

LONGEST_CONTENT_BYTES = MAX_DEAD_LETTER_BYTES - RECORD_HEADROOM_BYTES
LONGEST_KEY_BYTES = 1024
"""Line, slash and camera have at most 129; a longer key is another program's and is truncated."""
LONGEST_HEADERS_BYTES = RECORD_HEADROOM_BYTES // 2


@dataclass(frozen=True, slots=True)
class OutgoingRecord:
    """One record to be published."""

    topic: str
    key: bytes | None
    content: bytes
    headers: list[tuple[str, bytes]]


def outgoing_records(outcome: Outcome, *, results_topic: str, dead_letter_topic: str) -> Iterator[OutgoingRecord]:
    """Yield the dead letter, if any, then the inspection: whoever reads the reason finds the bytes already there."""
    if outcome.dead_letter is not None:
        yield dead_letter_record(dead_letter_topic, outcome.dead_letter)
    yield inspection_record(results_topic, outcome.key, outcome.inspection)


def inspection_record(topic: str, key: bytes | None, inspection: Inspection) -> OutgoingRecord:
    """Build an inspection as a CloudEvent in Kafka's binary mode; its id is the position of the judged record."""
    headers = write_headers(
        [
            ("ce_specversion", "1.0"),
            ("ce_id", str(inspection.source)),
            ("ce_source", f"/topics/{inspection.source.topic}"),
            ("ce_type", INSPECTION_TYPE),
            ("ce_time", inspection.scored_at.isoformat()),
            ("content-type", "application/json"),
        ]
    )
    return OutgoingRecord(topic, _bounded(key), encode_inspection(inspection), headers)


def dead_letter_record(topic: str, letter: DeadLetter) -> OutgoingRecord:
    """Build a dead letter: the original key, bytes and headers, with reason and origin added as headers.

    A record that is too large for the topic is truncated, and a header gives its original size: a dead letter that can
    never be published would stop the line.
    """
    header_bytes = sum(len(name.encode()) + len(text) for name, text in letter.headers)
    if header_bytes > LONGEST_HEADERS_BYTES:
        letter = replace(letter, headers=())
    headers = dead_letter_headers(letter)
    if header_bytes > LONGEST_HEADERS_BYTES:
        headers += write_headers([(HEADER_BYTES_HEADER, str(header_bytes))])
    if len(letter.content) > LONGEST_CONTENT_BYTES:
        headers += write_headers([(CONTENT_BYTES_HEADER, str(len(letter.content)))])
    return OutgoingRecord(topic, _bounded(letter.key), letter.content[:LONGEST_CONTENT_BYTES], headers)


def _bounded(key: bytes | None) -> bytes | None:
    return key if key is None else key[:LONGEST_KEY_BYTES]
