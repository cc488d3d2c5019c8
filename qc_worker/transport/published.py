"""Inspections as they are read back from `results`, whatever the broker."""

import structlog

from qc_worker.domain.frame import Record
from qc_worker.domain.inspection import Inspection
from qc_worker.ports.results import PublishedInspection
from qc_worker.wire.json_types import decode_inspection

log = structlog.get_logger()


def published_inspection(record: Record) -> PublishedInspection | None:
    """Decode a record of `results`; an unreadable one is logged and gives None."""
    try:
        inspection = decode_inspection(record.content)
    except ValueError as error:
        log.warning("inspection unreadable", reason=str(error), position=str(record.position))
        return None
    return PublishedInspection(inspection, record.position, record.key, record.headers, record.appended_at)


def inspection_of_line(record: Record, line: str) -> Inspection | None:
    """Decode a record's inspection if it is one of that line; an unreadable one is logged and gives None."""
    published = published_inspection(record)
    return published.inspection if published is not None and published.inspection.line == line else None
