"""Count who has said what."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, ColumnElement, func, select

from qc_dashboard.database.database import Database
from qc_dashboard.history.conditions import in_range
from qc_dashboard.review.tables import queue, words
from qc_worker.domain.feedback import Judgement


@dataclass(frozen=True, slots=True)
class PersonsWork:
    """What one person has said at this dashboard, in a span of time."""

    person: str
    good: int
    defect: int
    unsure: int
    undone: int
    """Words that the person has taken back; the other counts leave them out."""
    mean_looked_s: float | None
    """Mean seconds from getting a frame to the word on it; None if no frame came from the queue."""
    first_us: int
    last_us: int


class ReviewStatistics:
    """Answers from the table of words. Every method may raise DatabaseAway."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def by_person(
        self, *, line: str | None = None, since_us: int | None = None, until_us: int | None = None
    ) -> list[PersonsWork]:
        """Count the words of each person, in alphabetical order, by the time at which they were said."""
        row = words.c
        conditions = [row.undoes.is_(None), *_in_span(row.line, row.accepted_us, line, since_us, until_us)]
        counts = [_count(row.undone.is_(False) & (row.verdict == verdict.value)) for verdict in Judgement]
        columns = (*counts, _count(row.undone.is_(True)), func.avg(row.looked_us))
        query = select(row.accepted_by, *columns, func.min(row.accepted_us), func.max(row.accepted_us))
        with self._database.reading() as connection:
            rows = connection.execute(query.where(*conditions).group_by(row.accepted_by)).all()
        return sorted((_work(*found) for found in rows), key=lambda work: work.person)

    def gone(self, *, line: str | None = None, since_us: int | None = None, until_us: int | None = None) -> int:
        """Count the frames that left the queue in that span, not judged, because their pictures were gone."""
        row = queue.c
        in_span = _in_span(row.line, row.gone_us, line, since_us, until_us)
        conditions = [row.gone_us.is_not(None), row.said.is_(None), *in_span]
        with self._database.reading() as connection:
            return int(connection.execute(select(func.count()).select_from(queue).where(*conditions)).scalar_one())


def _in_span(
    line_column: Column[Any], time_column: Column[Any], line: str | None, since_us: int | None, until_us: int | None
) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if line is not None:
        conditions.append(line_column == line.replace("\0", ""))
    if since_us is not None:
        conditions.append(time_column >= in_range(since_us))
    if until_us is not None:
        conditions.append(time_column < in_range(until_us))
    return conditions


def _work(person: str, *figures: Any) -> PersonsWork:
    good, defect, unsure, undone, looked_us, first_us, last_us = figures
    mean_s = None if looked_us is None else float(looked_us) / 1_000_000
    return PersonsWork(person, good, defect, unsure, undone, mean_s, first_us, last_us)


def _count(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.count().filter(condition)
