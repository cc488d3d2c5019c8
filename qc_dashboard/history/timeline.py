"""Count inspections in buckets of time, with the releases between them: a search as one looks over it."""

from collections import defaultdict
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection, func, select

from qc_dashboard.history.conditions import TABLE, conditions, in_range
from qc_dashboard.history.counting import counts_of
from qc_dashboard.history.search import Search
from qc_dashboard.history.slots import DAY_US, SLOTS_US, Span, bucket_for, slot_of, spans
from qc_dashboard.history.tables import releases, tallies
from qc_dashboard.history.times import to_us
from qc_worker.domain.inspection import Verdict

LONGEST_US = 366 * DAY_US
"""Longest span that is chosen by itself."""
FIRST_US = to_us(datetime.min)
MAX_MARKS = 50


@dataclass(frozen=True, slots=True)
class Bucket:
    """Inspections of a bucket of time."""

    start_us: int
    counts: dict[Verdict, int]


@dataclass(frozen=True, slots=True)
class Mark:
    """A release on the timeline."""

    line: str
    released_us: int
    version: str
    action: str


@dataclass(frozen=True, slots=True)
class Timeline:
    """Inspections of a span; buckets without any are left out, and those at the ends may reach out of the span."""

    since_us: int
    until_us: int
    bucket_us: int
    buckets: tuple[Bucket, ...]
    marks: tuple[Mark, ...]
    """Releases in the span, oldest first; the newest ones if there are too many."""


def timeline_of(connection: Connection, search: Search, *, now_us: int) -> Timeline:
    """Count by bucket and verdict: from tallies, and at the ends of the span from the inspections themselves."""
    counted = Search(
        line=search.line, camera=search.camera, verdicts=search.verdicts, model_version=search.model_version
    )
    since_us, until_us = _span(connection, search, now_us)
    bucket_us = bucket_for(until_us - since_us)
    # Without a start or an end of its own, the span has whole buckets there.
    if search.since_us is None:
        since_us = max(FIRST_US, since_us // bucket_us * bucket_us)
    if search.until_us is None:
        until_us = -(-until_us // bucket_us) * bucket_us
    lengths = [length for length in SLOTS_US if bucket_us % length == 0]
    counts: dict[int, dict[Verdict, int]] = defaultdict(dict)
    for span in spans(since_us, until_us, lengths):
        for start_us, verdict, frames in _counts(connection, counted, span, bucket_us):
            of_bucket = counts[start_us]
            of_bucket[verdict] = of_bucket.get(verdict, 0) + frames
    buckets = tuple(Bucket(start_us, counts[start_us]) for start_us in sorted(counts))
    return Timeline(since_us, until_us, bucket_us, buckets, _marks(connection, search.line, since_us, until_us))


def _counts(connection: Connection, search: Search, span: Span, bucket_us: int) -> list[tuple[int, Verdict, int]]:
    if span.length_us == 0:
        within = replace(search, since_us=span.since_us, until_us=span.until_us)
        found = counts_of(connection, within, bucket_us=bucket_us)
        return [(one.bucket_us, one.verdict, one.inspections) for one in found]
    row = tallies.c
    wanted = [row.length_us == span.length_us, row.start_us >= span.since_us, row.start_us < span.until_us]
    for column in (row.line, row.camera, row.model_version):
        if (name := getattr(search, column.name)) is not None:
            wanted.append(column == name.replace("\0", "\n"))  # no name has either
    if search.verdicts:
        wanted.append(row.verdict.in_([verdict.value for verdict in search.verdicts]))
    bucket = slot_of(row.start_us, bucket_us).label("bucket")
    query = select(bucket, row.verdict, func.sum(row.frames)).where(*wanted).group_by(bucket, row.verdict)
    return [(start_us, Verdict(verdict), int(frames)) for start_us, verdict, frames in connection.execute(query)]


def _span(connection: Connection, search: Search, now_us: int) -> tuple[int, int]:
    """Return the search's own span, or else that of the line's inspections, whose cameras' clocks may be wrong."""
    line = [*conditions(Search(line=search.line))]
    since_us, until_us = search.since_us, search.until_us
    if until_us is None:
        newest = connection.scalar(select(func.max(TABLE.taken_us)).where(*line))
        until_us = min(now_us + DAY_US, now_us if newest is None else newest + 1)
    if since_us is None:
        oldest = connection.scalar(select(func.min(TABLE.taken_us)).where(*line))
        since_us = max(until_us - LONGEST_US, until_us if oldest is None else oldest)
    return in_range(min(since_us, until_us)), in_range(until_us)


def _marks(connection: Connection, line: str | None, since_us: int, until_us: int) -> tuple[Mark, ...]:
    row = releases.c
    wanted = [row.released_us >= since_us, row.released_us < until_us]
    if line is not None:
        wanted.append(row.line == line.replace("\0", "\n"))
    query = select(row.line, row.released_us, row.version, row.action).where(*wanted)
    newest = connection.execute(query.order_by(row.released_us.desc(), row.line, row.version).limit(MAX_MARKS))
    return tuple(Mark(*found) for found in reversed(newest.all()))
