"""From records to what the ledger is fed."""

from datetime import datetime

from qc_worker.audit.ledger import InspectionEntry
from qc_worker.domain.frame import Position, Record
from qc_worker.domain.inspection import Verdict
from qc_worker.wire.dead_letters import dead_letter_source
from qc_worker.wire.json_types import decode_inspection

FAILURES = (Verdict.ERROR, Verdict.NO_MODEL)
"""Every frame with such a verdict has a dead letter; see `qc_worker.engine.intake.failure`."""


def inspection_entry(record: Record, *, letters_from: datetime | None) -> InspectionEntry:
    """Read a record of `results`; dead letters older than `letters_from` may have been removed. Raises ValueError."""
    inspection = decode_inspection(record.content)
    failed = inspection.verdict in FAILURES
    return InspectionEntry(
        source=_possible(inspection.source),
        camera=record.key,
        shard=record.position.shard,
        failed=failed,
        letter_due=failed and (letters_from is None or record.appended_at > letters_from),
    )


def letter_entry(record: Record) -> Position:
    """The frame that a record of `images.dlq` names. Raises ValueError."""
    return _possible(dead_letter_source(record.headers))


def _possible(source: Position) -> Position:
    if source.partition < 0 or source.offset < 0:
        raise ValueError(f"{source} is no position")
    return source
