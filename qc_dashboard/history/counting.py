"""Count inspections one by one, from the indexes alone, and list the names that occur."""

from dataclasses import dataclass, replace
from itertools import product

from sqlalchemy import Column, ColumnElement, Connection, func, literal, select, true

from qc_dashboard.history.conditions import TABLE, conditions
from qc_dashboard.history.search import Search
from qc_dashboard.history.slots import slot_of
from qc_worker.domain.inspection import Verdict


@dataclass(frozen=True, slots=True)
class Count:
    """Number of inspections of a line with a verdict, in a bucket of time."""

    line: str | None
    verdict: Verdict
    bucket_us: int
    """Start of the bucket, a multiple of its length since 1970; 0 if the search has one bucket only."""
    inspections: int


def counts_of(connection: Connection, search: Search, *, bucket_us: int | None) -> list[Count]:
    """Count what meets the search by line, verdict and bucket of time, in that order; lines without name first."""
    counted: list[Count] = []
    # Line by line and verdict by verdict, each is a span of one index, and no row is looked at.
    lines = [search.line] if search.line is not None else [None, *distinct(connection, TABLE.line)]
    for line, verdict in product(lines, sorted(search.verdicts or Verdict)):
        counted += _counted(connection, search, line, verdict, bucket_us)
    return counted


def distinct(connection: Connection, column: Column[str], *, line: str | None = None) -> list[str]:
    """List the values of a column, jumping from one to the next in an index instead of reading every row."""
    same_line = TABLE.line == line if line is not None else true()
    found: list[str] = []
    beyond_last: ColumnElement[bool] = column.is_not(None)
    while (value := connection.scalar(select(func.min(column)).where(same_line, beyond_last))) is not None:
        found.append(value)
        beyond_last = column > value
    return found


def _counted(
    connection: Connection, search: Search, line: str | None, verdict: Verdict, bucket_us: int | None
) -> list[Count]:
    same_line = TABLE.line.is_(None) if line is None else true()
    part = replace(search, line=line, verdicts=(verdict,))
    bucket = (slot_of(TABLE.taken_us, bucket_us) if bucket_us else literal(0)).label("bucket")
    query = select(bucket, func.count().label("inspections")).where(same_line, *conditions(part))
    rows = connection.execute(query.group_by(bucket).order_by(bucket))
    return [Count(line, verdict, row.bucket, row.inspections) for row in rows if row.inspections]
