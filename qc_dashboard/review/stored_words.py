"""Read words back from the database."""

from typing import Any

from sqlalchemy import Connection, Row, select

from qc_dashboard.history.times import to_us
from qc_dashboard.review.tables import words
from qc_dashboard.review.wanted import Said, Word
from qc_worker.domain.feedback import Feedback
from qc_worker.wire.json_types import decode_feedback


def last_of_session(connection: Connection, session: str) -> Said | None:
    """Return the last word that the session has said and not taken back; None if there is none."""
    query = select(words).where(words.c.session == session, words.c.undoes.is_(None), words.c.undone.is_(False))
    row = connection.execute(query.order_by(words.c.id.desc()).limit(1)).one_or_none()
    return None if row is None else stored(row)


def stored(row: Row[Any]) -> Said:
    """Make what was said of a row of the table."""
    return said_of(row.id, feedback_of(row.document)[0], sent=row.sent_us is not None)


def said_of(new_id: int, said: Feedback, *, sent: bool) -> Said:
    """Make what was said of its message."""
    word = Word(said.verdict, said.kind, said.boxes)
    return Said(
        new_id, said.source, said.line, word, to_us(said.accepted_at), said.accepted_by, said.model_version, sent
    )


def feedback_of(document: str) -> tuple[Feedback, Word]:
    """Decode a message, and return it with its word alone."""
    said = decode_feedback(document.encode())
    return said, Word(said.verdict, said.kind, said.boxes)
