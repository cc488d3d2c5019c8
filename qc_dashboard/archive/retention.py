"""Remove evidence after its days, and the oldest passes first if there is too much; then the blobs that nobody needs.

A blob goes in three steps: it is marked, so that no evidence can refer to it any more; its bytes are removed; its row
is removed. After a crash between them the next run goes on.
"""

from datetime import timedelta

import structlog
from sqlalchemy import ColumnElement, and_, delete, exists, func, or_, select, true, tuple_, update

from qc_dashboard.archive.archive import KEY
from qc_dashboard.archive.blobs import BlobStore
from qc_dashboard.archive.policy import FIRST_TO_GO, ArchivePolicy
from qc_dashboard.archive.tables import blobs, evidence
from qc_dashboard.database.database import Database
from qc_worker.domain.inspection import Verdict
from qc_worker.observability import metrics
from qc_worker.runtime.failpoints import failpoint

AT_ONCE = 200
"""Rows in one transaction: short, so that the projection does not wait."""
MICROSECOND = timedelta(microseconds=1)
GRACE = timedelta(minutes=15)
"""A blob that was claimed later than this may be about to get its evidence."""

log = structlog.get_logger()


class Retention:
    """Removes what need not be kept. Every method may raise DatabaseAway or ArchiveAway; a later run goes on."""

    def __init__(self, database: Database, store: BlobStore, policy: ArchivePolicy) -> None:
        self._database = database
        self._store = store
        self._policy = policy

    def run(self, now_us: int) -> None:
        """Remove evidence that is too old, evidence that is too much, and the blobs that are not needed any more."""
        for verdict in Verdict:
            before_us = now_us - self._policy.kept_for(verdict) // MICROSECOND
            while removed := self._remove(verdict, before_us=before_us):
                _count(verdict, "expired", removed)
        self._fit()
        self._sweep(now_us - GRACE // MICROSECOND)

    def size_bytes(self) -> int:
        """Return the bytes of all blobs that evidence refers to, each counted once."""
        query = select(func.coalesce(func.sum(blobs.c.size_bytes), 0)).where(_is_needed())
        with self._database.reading() as connection:
            return int(connection.execute(query).scalar_one())

    def _fit(self) -> None:
        """Remove the oldest evidence, passes before all others, until the rest fits."""
        while (excess := self.size_bytes() - self._policy.max_bytes) > 0:
            for verdict in FIRST_TO_GO:
                if removed := self._remove(verdict, at_most_bytes=excess):
                    _count(verdict, "full", removed)
                    break
            else:
                break
        metrics.ARCHIVE_BYTES.set(self.size_bytes())

    def _remove(self, verdict: Verdict, *, before_us: int | None = None, at_most_bytes: int | None = None) -> int:
        """Remove the oldest evidence of a verdict: of before a time, or until so many bytes are reached."""
        query = select(*KEY, evidence.c.total_bytes).where(evidence.c.verdict == verdict.value)
        if before_us is not None:
            query = query.where(evidence.c.judged_us < before_us)
        with self._database.writing() as connection:
            rows = connection.execute(query.order_by(evidence.c.judged_us, *KEY).limit(AT_ONCE)).all()
            keys, size = [], 0
            for *key, total_bytes in rows:
                if at_most_bytes is not None and size >= at_most_bytes:
                    break
                keys.append(tuple(key))
                size += total_bytes
            if keys:
                connection.execute(delete(evidence).where(tuple_(*KEY).in_(keys)))
        if keys:
            failpoint("after-evidence-removed")
        return len(keys)

    def _sweep(self, before_us: int) -> None:
        """Remove the blobs that nobody has claimed since `before_us` and no evidence needs."""
        while going := self._mark(self._unneeded(before_us), before_us):
            failpoint("after-mark")
            for sha256 in going:
                self._store.remove(sha256)
                failpoint("after-blob-removed")
            with self._database.writing() as connection:
                connection.execute(delete(blobs).where(blobs.c.sha256.in_(going), blobs.c.going == true()))

    def _unneeded(self, before_us: int) -> list[str]:
        """Find some blobs to remove, and those that were marked before a crash; outside of a writing transaction."""
        unneeded = and_(blobs.c.claimed_us < before_us, ~_is_needed())
        query = select(blobs.c.sha256).where(or_(blobs.c.going == true(), unneeded))
        with self._database.reading() as connection:
            return list(connection.scalars(query.order_by(blobs.c.sha256).limit(AT_ONCE)))

    def _mark(self, found: list[str], before_us: int) -> list[str]:
        """Mark those of the blobs that nobody needs still; return all of them that are marked."""
        if not found:
            return []
        these = blobs.c.sha256.in_(found)
        with self._database.writing() as connection:
            connection.execute(select(blobs.c.sha256).where(these).order_by(blobs.c.sha256).with_for_update())
            # A statement of its own: it sees the evidence of a transaction that the locks have waited for.
            unneeded = and_(these, blobs.c.claimed_us < before_us, ~_is_needed())
            connection.execute(update(blobs).where(unneeded).values(going=True))
            return list(connection.scalars(select(blobs.c.sha256).where(these, blobs.c.going == true())))


def _is_needed() -> ColumnElement[bool]:
    refers = or_(
        evidence.c.frame_sha256 == blobs.c.sha256,
        evidence.c.heatmap_sha256 == blobs.c.sha256,
        evidence.c.thumbnail_sha256 == blobs.c.sha256,
    )
    return exists(select(evidence.c.verdict).where(refers))


def _count(verdict: Verdict, reason: str, removed: int) -> None:
    metrics.ARCHIVE_REMOVED.labels(verdict=verdict.value, reason=reason).inc(removed)
    log.info("evidence removed", verdict=verdict.value, reason=reason, count=removed)
