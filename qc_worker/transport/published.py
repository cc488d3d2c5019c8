"""Records of `results`, `models`, `feedback` and `samples` as they are read back, whatever the broker."""

import structlog

from qc_worker.domain.frame import Record
from qc_worker.domain.inspection import Inspection
from qc_worker.ports.feeds import PublishedCollected, PublishedFeedback, PublishedRelease
from qc_worker.ports.results import PublishedInspection
from qc_worker.wire.json_types import decode_collected, decode_feedback, decode_inspection, decode_release

log = structlog.get_logger()


def published_inspection(record: Record) -> PublishedInspection | None:
    """Decode a record of `results`; an unreadable one is logged and gives None."""
    try:
        inspection = decode_inspection(record.content)
    except ValueError as error:
        log.warning("inspection unreadable", reason=str(error), position=str(record.position))
        return None
    return PublishedInspection(
        inspection, record.position, record.key, record.headers, record.appended_at, record.content
    )


def published_release(record: Record) -> PublishedRelease | None:
    """Decode a record of `models`; a tombstone gives None, and so does an unreadable one, which is logged."""
    if not record.content and not record.unreadable:
        return None
    try:
        return PublishedRelease(decode_release(_readable(record)), record.position, record.content)
    except ValueError as error:
        log.warning("release unreadable", reason=str(error), position=str(record.position))
        return None


def published_feedback(record: Record) -> PublishedFeedback | None:
    """Decode a record of `feedback`; an unreadable one is logged and gives None."""
    try:
        return PublishedFeedback(decode_feedback(_readable(record)), record.position, record.content)
    except ValueError as error:
        log.warning("feedback unreadable", reason=str(error), position=str(record.position))
        return None


def published_collected(record: Record) -> PublishedCollected | None:
    """Decode a record of `samples`; an unreadable one is logged and gives None."""
    try:
        return PublishedCollected(decode_collected(_readable(record)), record.position, record.content)
    except ValueError as error:
        log.warning("outcome of feedback unreadable", reason=str(error), position=str(record.position))
        return None


def _readable(record: Record) -> bytes:
    if record.unreadable:
        raise ValueError(record.unreadable)
    return record.content


def inspection_of_line(record: Record, line: str) -> Inspection | None:
    """Decode a record's inspection if it is one of that line; an unreadable one is logged and gives None."""
    published = published_inspection(record)
    return published.inspection if published is not None and published.inspection.line == line else None
