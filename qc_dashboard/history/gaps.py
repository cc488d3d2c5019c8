"""Find the spans of time whose inspections were removed from `results` before the dashboard had read them."""

from dataclasses import dataclass

from sqlalchemy import Connection, select

from qc_dashboard.history.tables import gaps, inspections

MAX_GAPS = 1_000
"""Newest gaps that are looked at."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Records of one partition of `results` that were lost to the history."""

    since_us: int | None
    """Time of the last inspection before it; None: there is none."""
    until_us: int | None
    """Time of the first inspection behind it; None: none has come yet."""
    records: int
    """Number of lost records; a few of them may have been markers of transactions."""


def gaps_between(connection: Connection, since_us: int, until_us: int) -> list[Gap]:
    """List the gaps that touch the span, in the order in which they were noticed."""
    newest = connection.execute(select(gaps).order_by(gaps.c.noticed_us.desc()).limit(MAX_GAPS)).all()
    found = [_gap(connection, *row[:3]) for row in reversed(newest)]
    return [
        gap
        for gap in found
        if (gap.since_us is None or gap.since_us < until_us) and (gap.until_us is None or gap.until_us > since_us)
    ]


def _gap(connection: Connection, partition: int, first: int, end: int) -> Gap:
    row = inspections.c
    here = select(row.taken_us).where(row.results_partition == partition).limit(1)
    before = connection.scalar(here.where(row.results_offset < first).order_by(row.results_offset.desc()))
    after = connection.scalar(here.where(row.results_offset >= end).order_by(row.results_offset))
    return Gap(before, after, end - first)
