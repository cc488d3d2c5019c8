"""Hand out frames to reviewers: a frame is leased to one session at a time, in one transaction."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Select, delete, exists, false, func, not_, or_, select, update

from qc_dashboard.database.database import Database
from qc_dashboard.database.frames import SOURCE, at, columns_of, same_frame
from qc_dashboard.database.inserting import insert_new
from qc_dashboard.history.conditions import in_range
from qc_dashboard.history.rows import can_be_stored
from qc_dashboard.history.tables import feedback
from qc_dashboard.history.times import to_us
from qc_dashboard.review.tables import queue, skips
from qc_dashboard.review.wanted import Leased, LeaseLost, Left, Reviewer, ReviewOrder, Wanted
from qc_worker.domain.feedback import Judgement
from qc_worker.domain.frame import Position
from qc_worker.domain.inspection import Verdict
from qc_worker.ports.clock import Clock

LEASE_S = 120.0
SKIPS_KEPT_S = 7 * 24 * 3600.0
MAX_LEASED = 16
"""Frames that one session may have at a time: the one on the page, and those that it loads ahead."""

ROW = queue.c
LEASED = (*SOURCE, "line", "verdict", "taken_us", "doubt", "share", "leased_until_us", "said")
ORDERS: dict[ReviewOrder, tuple[Any, ...]] = {
    ReviewOrder.OLDEST: (ROW.taken_us,),
    ReviewOrder.DOUBTFUL: (ROW.doubt.desc(),),
    ReviewOrder.VERDICT: (ROW.verdict.desc(), ROW.taken_us),
    ReviewOrder.LINE: (ROW.line, ROW.taken_us),
}


class ReviewQueue:
    """The queue. Every method may raise DatabaseAway, and then nothing has changed."""

    def __init__(self, database: Database, clock: Clock, *, lease_s: float = LEASE_S) -> None:
        self._database = database
        self._clock = clock
        self._lease_us = round(lease_s * 1_000_000)

    @property
    def lease_s(self) -> float:
        """Seconds for which a lease holds."""
        return self._lease_us / 1_000_000

    def claim(self, reviewer: Reviewer, wanted: Wanted, *, count: int = 1) -> list[Leased]:
        """Lease up to `count` frames: those that the session has already come first, those not wanted any more go back.

        No other session gets them until the lease expires, is given back, or the frame is judged.
        """
        now_us = self._now_us()
        with self._database.writing() as connection:
            _give_back_unwanted(connection, reviewer, wanted)
            held = _held(connection, reviewer, now_us)[: min(count, MAX_LEASED)]
            missing = min(count, MAX_LEASED) - len(held)
            free = _free(connection, reviewer, wanted, now_us=now_us, count=missing) if missing > 0 else []
            lease: dict[str, str | int] = {"session": reviewer.session, "leased_until_us": now_us + self._lease_us}
            _lease(connection, held, lease)
            _lease(connection, free, {**lease, "leased_us": now_us})
            return _leased(connection, [*held, *free])

    def renew(self, reviewer: Reviewer) -> int:
        """Extend the session's leases, and return how many it has; 0: others may have got its frames."""
        now_us = self._now_us()
        mine = (ROW.session == reviewer.session, ROW.leased_until_us > now_us)
        with self._database.writing() as connection:
            renewed = update(queue).where(*mine).values(leased_until_us=now_us + self._lease_us)
            return connection.execute(renewed).rowcount

    def release(self, reviewer: Reviewer) -> None:
        """Give back all that the session has."""
        with self._database.writing() as connection:
            connection.execute(give_back(ROW.session == reviewer.session))

    def skip(self, reviewer: Reviewer, source: Position) -> None:
        """Give the frame back, and hand it out to others only. Raises LeaseLost."""
        now_us = self._now_us()
        with self._database.writing() as connection:
            if not (can_be_stored(source) and connection.execute(give_back(_mine(reviewer, source))).rowcount):
                raise LeaseLost(f"{source} is not leased to this session any more")
            insert_new(connection, skips, [{"session": reviewer.session, **columns_of(source), "skipped_us": now_us}])
            old_us = now_us - round(SKIPS_KEPT_S * 1_000_000)
            connection.execute(delete(skips).where(skips.c.skipped_us < old_us))

    def show_skipped(self, reviewer: Reviewer) -> int:
        """Hand out to the session again what it has skipped, and return how many frames that are."""
        with self._database.writing() as connection:
            return connection.execute(delete(skips).where(skips.c.session == reviewer.session)).rowcount

    def withdraw(self, sources: Sequence[Position]) -> int:
        """Take frames that cannot be judged any more out of the queue, and return how many those are."""
        now_us, ended = self._now_us(), {"session": None, "leased_us": None, "leased_until_us": None}
        with self._database.writing() as connection:
            return sum(
                connection.execute(
                    update(queue).where(at(queue, source), ROW.gone_us.is_(None)).values(gone_us=now_us, **ended)
                ).rowcount
                for source in sources
            )

    def leased_to(self, reviewer: Reviewer, source: Position) -> Leased | None:
        """Return that frame if the session has it; None if not."""
        with self._database.reading() as connection:
            held = source in _held(connection, reviewer, self._now_us())
            return _leased(connection, [source])[0] if held else None

    def left(self, reviewer: Reviewer | None, wanted: Wanted) -> Left:
        """Count what is left of what is wanted; without a reviewer all leases are those of others."""
        by_others = (ROW.session != session) if (session := reviewer and reviewer.session) else ROW.session.is_not(None)
        by_others &= ROW.leased_until_us > self._now_us()
        query = select(
            func.count(),
            func.count().filter(by_others),
            func.count().filter(_skipped_by(reviewer) if reviewer else false()),
        ).select_from(queue)
        with self._database.reading() as connection:
            counted = connection.execute(query.where(*_meets(wanted), is_open())).one()
        return Left(*counted)

    def _now_us(self) -> int:
        return to_us(self._clock.now())


def is_open() -> ColumnElement[bool]:
    """Return the condition that the frame has a picture, and that nobody has judged it: here or on `feedback`."""
    newer = exists().where(same_frame(feedback, queue), feedback.c.accepted_us > ROW.said_us).correlate(queue)
    return ROW.said.is_(None) & ROW.gone_us.is_(None) & ~newer


def give_back(condition: ColumnElement[bool]) -> Any:
    """Return the statement that ends the leases of those frames."""
    return update(queue).where(condition).values(session=None, leased_until_us=None, leased_us=None)


def _mine(reviewer: Reviewer, source: Position) -> ColumnElement[bool]:
    return at(queue, source) & (ROW.session == reviewer.session)


def _meets(wanted: Wanted) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if wanted.line is not None:
        conditions.append(ROW.line == wanted.line if "\0" not in wanted.line else false())
    if wanted.verdicts:
        conditions.append(ROW.verdict.in_([verdict.value for verdict in wanted.verdicts]))
    if wanted.since_us is not None:
        conditions.append(ROW.taken_us >= in_range(wanted.since_us))
    if wanted.until_us is not None:
        conditions.append(ROW.taken_us < in_range(wanted.until_us))
    return conditions


def _skipped_by(reviewer: Reviewer) -> ColumnElement[bool]:
    return exists().where(same_frame(skips, queue), skips.c.session == reviewer.session).correlate(queue)


def _give_back_unwanted(connection: Connection, reviewer: Reviewer, wanted: Wanted) -> None:
    """Give back what the session has and does not want; what was judged by others, or is gone meanwhile, too."""
    meets = [*_meets(wanted), ROW.said.is_not(None) | is_open()]
    for condition in meets:
        connection.execute(give_back((ROW.session == reviewer.session) & not_(condition)))


def _held(connection: Connection, reviewer: Reviewer, now_us: int) -> list[Position]:
    query = _sources().where(ROW.session == reviewer.session, ROW.leased_until_us > now_us)
    return [Position(*row) for row in connection.execute(query.order_by(ROW.leased_us, *_source_columns()))]


def _free(connection: Connection, reviewer: Reviewer, wanted: Wanted, *, now_us: int, count: int) -> list[Position]:
    """Choose frames that nobody has. On PostgreSQL their rows are locked, and rows that others lock are passed over."""
    unleased = or_(ROW.session.is_(None), ROW.leased_until_us <= now_us)
    query = _sources().where(*_meets(wanted), unleased, is_open(), not_(_skipped_by(reviewer)))
    query = query.order_by(*ORDERS[wanted.order], *_source_columns()).limit(count)
    return [Position(*row) for row in connection.execute(query.with_for_update(skip_locked=True, of=queue))]


def _lease(connection: Connection, sources: Sequence[Position], values: dict[str, str | int]) -> None:
    for source in sources:
        connection.execute(update(queue).where(at(queue, source)).values(values))


def _leased(connection: Connection, sources: Sequence[Position]) -> list[Leased]:
    rows = [
        connection.execute(select(*(ROW[name] for name in LEASED)).where(at(queue, source))).one() for source in sources
    ]
    return [
        Leased(
            Position(*row[:3]),
            row.line,
            Verdict(row.verdict),
            row.taken_us,
            row.doubt,
            row.share,
            row.leased_until_us,
            None if row.said is None else Judgement(row.said),
        )
        for row in rows
    ]


def _sources() -> Select[Any]:
    return select(*_source_columns())


def _source_columns() -> list[Column[Any]]:
    return [ROW[name] for name in SOURCE]
