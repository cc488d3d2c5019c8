"""Find what people said: of what `feedback` has brought, and of what was said here and is not back from there yet."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import ColumnElement, Connection, Table, and_, false, select, true, tuple_

from qc_dashboard.database.frames import SOURCE, at
from qc_dashboard.history.rows import can_be_stored
from qc_dashboard.history.tables import feedback
from qc_dashboard.history.times import to_us
from qc_dashboard.review.tables import words
from qc_worker.domain.feedback import Feedback, Judgement
from qc_worker.domain.frame import Position
from qc_worker.wire.json_types import decode_feedback

KEY = (*SOURCE, "accepted_us", "accepted_by")


class WordKey(NamedTuple):
    """Frame, time and person, which name a judgement."""

    topic: str
    partition: int
    offset: int
    accepted_us: int
    accepted_by: str

    @property
    def source(self) -> Position:
        return Position(self.topic, self.partition, self.offset)


@dataclass(frozen=True, slots=True)
class Told:
    """A judgement; `is_sent` once the broker has it."""

    feedback: Feedback
    is_sent: bool

    @property
    def key(self) -> WordKey:
        source = self.feedback.source
        at_us = to_us(self.feedback.accepted_at)
        return WordKey(source.topic, source.partition, source.offset, at_us, self.feedback.accepted_by)


def told_on(connection: Connection, source: Position) -> list[Told]:
    """Return the judgements on that frame, oldest first."""
    if not can_be_stored(source):
        return []
    return _told(connection, lambda table: at(table, source), limit=None)[::-1]


def last_told(connection: Connection, *, by: str | None, line: str | None, limit: int) -> list[Told]:
    """Return the last judgements, newest first; of that person, of that line."""

    def wanted(table: Table) -> ColumnElement[bool]:
        asked = [(table.c.accepted_by, by), (table.c.line, line)]
        met = (column == text if "\0" not in text else false() for column, text in asked if text is not None)
        return and_(true(), *met)

    return _told(connection, wanted, limit=limit)


def verdicts_on(connection: Connection, sources: Iterable[Position]) -> dict[WordKey, Judgement]:
    """Return the verdict of every judgement on these frames."""
    keys = [(source.topic, source.partition, source.offset) for source in sources]
    found = {}
    for table in (feedback, words):
        frame = tuple_(*(table.c[name] for name in SOURCE))
        query = select(*(table.c[name] for name in KEY), table.c.verdict).where(frame.in_(keys))
        found.update({WordKey(*row[:-1]): Judgement(row[-1]) for row in connection.execute(query)})
    return found


def _told(connection: Connection, wanted: Callable[[Table], ColumnElement[bool]], *, limit: int | None) -> list[Told]:
    """Return the newest judgements that meet the condition, newest first."""
    same = and_(*(words.c[name] == feedback.c[name] for name in KEY))
    is_back = select(feedback.c.line).where(same).correlate(words).exists()
    brought = select(feedback.c.document).where(wanted(feedback)).order_by(feedback.c.accepted_us.desc())
    ours = select(words.c.document, words.c.sent_us).where(wanted(words), ~is_back)
    found = [_decoded(row.document, is_sent=True) for row in connection.execute(brought.limit(limit))]
    for row in connection.execute(ours.order_by(words.c.accepted_us.desc()).limit(limit)):
        found.append(_decoded(row.document, is_sent=row.sent_us is not None))
    found.sort(key=lambda one: (one.key.accepted_us, one.key.accepted_by), reverse=True)
    return found[:limit]


def _decoded(document: str, *, is_sent: bool) -> Told:
    return Told(decode_feedback(document.encode()), is_sent)
