"""Read the records of `results` and `images.dlq` as entries of the ledger."""

from datetime import datetime, timedelta

from qc_worker.audit.ledger import InspectionEntry
from qc_worker.domain.frame import Position, Record
from qc_worker.domain.inspection import Verdict
from qc_worker.wire.dead_letters import dead_letter_source
from qc_worker.wire.json_types import decode_inspection

FAILURES = (Verdict.ERROR, Verdict.NO_MODEL)
"""Verdicts that come with a dead letter; see `qc_worker.engine.intake.failure`."""

TIME_SLACK = timedelta(minutes=5)
"""Largest lead of a record's time over that of one published after it: the clocks of brokers and workers differ."""


def inspection_entry(record: Record, *, letters_from: datetime | None, kept_from: datetime | None) -> InspectionEntry:
    """Read a record of `results`. Raises ValueError.

    Retention may have removed dead letters older than `letters_from` and inspections older than `kept_from`; None: it
    has removed none.
    """
    inspection = decode_inspection(record.content)
    failed = inspection.verdict in FAILURES
    return InspectionEntry(
        source=_possible(inspection.source),
        camera=record.key,
        partition=record.position.topic_partition,
        failed=failed,
        letter_due=failed and _is_behind(record, letters_from),
        successors_kept=_is_behind(record, kept_from),
    )


def letter_entry(record: Record) -> Position:
    """Read the position of the frame from a record of `images.dlq`. Raises ValueError."""
    return _possible(dead_letter_source(record.headers))


def _is_behind(record: Record, removed_until: datetime | None) -> bool:
    return removed_until is None or record.appended_at - TIME_SLACK > removed_until


def _possible(source: Position) -> Position:
    if source.partition < 0 or source.offset < 0:
        raise ValueError(f"{source} is not a position: partition and offset start at 0")
    return source
