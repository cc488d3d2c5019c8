"""Find the last word on frames: of what was said here, sent or not, and of what `feedback` has brought."""

import json
from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from qc_dashboard.database.frames import SOURCE, at
from qc_dashboard.history.tables import feedback
from qc_dashboard.review.tables import words
from qc_worker.domain.feedback import Judgement
from qc_worker.domain.frame import Position

CLOCK_SLACK_US = 24 * 3600 * 1_000_000
"""A person's clock may be that much behind the camera's."""


@dataclass(frozen=True, slots=True)
class LastWord:
    """What counts of all that was said about a frame."""

    verdict: Judgement
    kind: str | None
    accepted_us: int
    accepted_by: str


def last_words(connection: Connection, *, line: str, since_us: int) -> dict[Position, LastWord]:
    """Return the last word on each frame of the line that was taken since then, and on some that were taken before.

    Of two words of one time, that of the person whose name sorts last counts, everywhere the same.
    """
    last: dict[Position, LastWord] = {}
    for table in (feedback, words):
        columns = (*SOURCE, "accepted_us", "accepted_by", "document")
        query = select(*(table.c[name] for name in columns))
        rows = connection.execute(
            query.where(table.c.line == line, table.c.accepted_us >= since_us - CLOCK_SLACK_US)
        ).yield_per(1_000)
        for topic, partition, offset, accepted_us, accepted_by, document in rows:
            source, said = Position(topic, partition, offset), json.loads(document)
            word = LastWord(Judgement(said["verdict"]), said.get("kind"), accepted_us, accepted_by)
            known = last.get(source)
            if known is None or (known.accepted_us, known.accepted_by) < (accepted_us, accepted_by):
                last[source] = word
    return last


def newest_us(connection: Connection, source: Position) -> int:
    """Return the time of the last word on that frame; 0 if nobody has said one."""
    newest = [
        connection.scalar(select(func.max(table.c.accepted_us)).where(at(table, source))) for table in (words, feedback)
    ]
    return max(us or 0 for us in newest)
