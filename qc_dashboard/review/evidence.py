"""Find the scores by which thresholds can be compared: of the last frames, and of those that people have judged."""

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import select, tuple_

from qc_dashboard.database.database import Database
from qc_dashboard.database.frames import SOURCE
from qc_dashboard.history.tables import inspections
from qc_dashboard.review.last_words import last_words
from qc_worker.domain.feedback import Judgement
from qc_worker.domain.frame import Position

LOOKED_UP_AT_ONCE = 200
MAX_JUDGED = 5_000
"""Most judged frames that are looked up, the newest first."""
TABLE = inspections.c


@dataclass(frozen=True, slots=True)
class Scored:
    """Score of one frame, and the version that gave it; None: it was not judged."""

    version: str | None
    score: float | None
    word: Judgement | None = None
    """Last word of a person; None for frames that were looked up without it."""


class ThresholdEvidence:
    """Scores from the history. Every method may raise DatabaseAway."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def last(self, line: str, count: int) -> list[Scored]:
        """Return the line's last inspections, newest first."""
        query = select(TABLE.model_version, TABLE.score).where(TABLE.line == line)
        with self._database.reading() as connection:
            rows = connection.execute(query.order_by(TABLE.taken_us.desc()).limit(count))
            return [Scored(version, score) for version, score in rows]

    def judged(self, line: str, *, since_us: int) -> list[Scored]:
        """Return the line's frames on which the last word since then is `good` or `defect`."""
        with self._database.reading() as connection:
            words = last_words(connection, line=line, since_us=since_us)
            decided = {source: word for source, word in words.items() if word.verdict is not Judgement.UNSURE}
            newest = sorted(decided, key=lambda source: decided[source].accepted_us, reverse=True)[:MAX_JUDGED]
            key = tuple_(*(TABLE[name] for name in SOURCE))
            found: list[Scored] = []
            for some in _parts(newest):
                query = select(*key.clauses, TABLE.model_version, TABLE.score).where(TABLE.line == line, key.in_(some))
                for row in connection.execute(query):
                    found.append(Scored(row[3], row[4], decided[Position(*row[:3])].verdict))
        return found


def _parts(sources: list[Position]) -> Iterator[list[tuple[str, int, int]]]:
    for start in range(0, len(sources), LOOKED_UP_AT_ONCE):
        yield [(one.topic, one.partition, one.offset) for one in sources[start : start + LOOKED_UP_AT_ONCE]]
