"""Count inspections as they are written, by slot of time, so that a long span is summed up from some thousand rows.

The tallies change in the transaction that writes the inspections: they are as exact as counting again.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from sqlalchemy import Connection, Integer, Select, cast, delete, func, insert, literal, select

from qc_dashboard.database.inserting import insert_into
from qc_dashboard.history.conditions import conditions
from qc_dashboard.history.rows import Row
from qc_dashboard.history.search import Search
from qc_dashboard.history.slots import SLOTS_US, slot_of, spans
from qc_dashboard.history.tables import inspections, tallies

NAMES = ("line", "camera", "verdict", "model_version", "reason")
Key = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Tally:
    """Number of inspections of a line that have these names in common; an empty name: they have none."""

    camera: str
    verdict: str
    model_version: str
    reason: str
    frames: int
    late: int


def add_to_tallies(connection: Connection, rows: Iterable[Row]) -> None:
    """Count these rows of inspections, which are new."""
    counted: dict[Key, list[int]] = {}
    for row in rows:
        start_us = row["taken_us"] // SLOTS_US[0] * SLOTS_US[0]
        _add(counted, (start_us, *(row[name] or "" for name in NAMES)), 1, int(row["late"]))
    found: list[Row] = []
    for length_us in SLOTS_US:
        longer: dict[Key, list[int]] = {}
        for (start_us, *names), (frames, late) in counted.items():
            _add(longer, (start_us // length_us * length_us, *names), frames, late)
        found += (_row(length_us, key, frames, late) for key, (frames, late) in sorted(longer.items()))
    if found:
        more = insert_into(connection, tallies)
        sums = {name: tallies.c[name] + more.excluded[name] for name in ("frames", "late")}
        connection.execute(more.on_conflict_do_update(index_elements=list(tallies.primary_key), set_=sums), found)


def tally_again(connection: Connection) -> None:
    """Count all inspections again."""
    connection.execute(delete(tallies))
    names = [func.coalesce(inspections.c[name], literal("")).label(f"{name}_") for name in NAMES]
    late = cast(inspections.c.late, Integer).label("late_")
    rows = select(slot_of(inspections.c.taken_us, SLOTS_US[0]).label("start_"), *names, late).subquery()
    _fill(connection, SLOTS_US[0], rows.c.start_, [rows.c[f"{name}_"] for name in NAMES], (func.count(), rows.c.late_))
    for shorter_us, length_us in pairwise(SLOTS_US):
        start = slot_of(tallies.c.start_us, length_us).label("start_")
        rows = select(start, *tallies.c).where(tallies.c.length_us == shorter_us).subquery()
        frames = func.sum(rows.c.frames)
        _fill(connection, length_us, rows.c.start_, [rows.c[name] for name in NAMES], (frames, rows.c.late))


def line_tallies(connection: Connection, line: str | None, since_us: int, until_us: int) -> list[Tally]:
    """Count a line's inspections of a span by all names; None: those that name no line."""
    summed: dict[Key, list[int]] = {}
    for span in spans(since_us, until_us):
        query = _of_slots(line or "", *span) if span.length_us else _one_by_one(line, span.since_us, span.until_us)
        for *names, frames, late in connection.execute(query):
            _add(summed, tuple(names), int(frames), int(late))
    return [Tally(*names, *counts) for names, counts in sorted(summed.items())]


def _of_slots(line: str, length_us: int, since_us: int, until_us: int) -> "Select[Any]":
    row = tallies.c
    names = [row[name] for name in NAMES[1:]]
    return (
        select(*names, func.sum(row.frames), func.sum(row.late))
        .where(row.length_us == length_us, row.line == line, row.start_us >= since_us, row.start_us < until_us)
        .group_by(*names)
    )


def _one_by_one(line: str | None, since_us: int, until_us: int) -> "Select[Any]":
    row = inspections.c
    wanted = [*conditions(Search(line=line, since_us=since_us, until_us=until_us))]
    if line is None:
        wanted.append(row.line.is_(None))
    names = [func.coalesce(row[name], literal("")).label(f"{name}_") for name in NAMES[1:]]
    rows = select(*names, cast(row.late, Integer).label("late_")).where(*wanted).subquery()
    found = [rows.c[name.name] for name in names]
    return select(*found, func.count(), func.sum(rows.c.late_)).group_by(*found)


def _fill(connection: Connection, length_us: int, start: Any, names: Sequence[Any], counts: tuple[Any, Any]) -> None:
    frames, late = counts
    rows = select(literal(length_us), start, *names, frames, func.sum(late)).group_by(start, *names)
    connection.execute(insert(tallies).from_select(["length_us", "start_us", *NAMES, "frames", "late"], rows))


def _add(counted: dict[Key, list[int]], key: Key, frames: int, late: int) -> None:
    counts = counted.setdefault(key, [0, 0])
    counts[0] += frames
    counts[1] += late


def _row(length_us: int, key: Key, frames: int, late: int) -> Row:
    start_us, *names = key
    counts = {"frames": frames, "late": late}
    return {"length_us": length_us, "start_us": start_us, **dict(zip(NAMES, names, strict=True)), **counts}
