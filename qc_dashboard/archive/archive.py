"""Keep evidence: rows say which blobs belong to an inspection, a blob store holds their bytes.

Nothing that does not exist is ever referred to, through any crash and with several processes, because of the order:
a blob's row is claimed first, then its bytes are written, then the evidence that refers to it. `Retention` removes in
the opposite order, and only blobs without evidence that nobody has claimed for a while.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, false, func, select, tuple_

from qc_dashboard.archive.blobs import BlobStore, digest
from qc_dashboard.archive.looks import FrameLook
from qc_dashboard.archive.tables import blobs, evidence, looks, places
from qc_dashboard.database.database import Database
from qc_dashboard.database.frames import SOURCE, columns_of
from qc_dashboard.database.inserting import insert_into, insert_new
from qc_dashboard.database.places import places_of, set_places
from qc_worker.domain.errors import TransportError
from qc_worker.domain.frame import Offsets, Partition, Position
from qc_worker.domain.inspection import Verdict
from qc_worker.ports.clock import Clock
from qc_worker.runtime.failpoints import failpoint

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
KEY = tuple(evidence.c[name] for name in SOURCE)


class ArchiveBusy(TransportError):
    """A blob is being removed, or another process archives too: read the places again and repeat."""


@dataclass(frozen=True, slots=True)
class FrameEvidence:
    """A frame's bytes as its camera sent them, and its pictures in the heatmap cache, if they were still there."""

    source: Position
    verdict: Verdict
    judged_us: int
    frame: bytes
    heatmap_png: bytes | None = None
    thumbnail_jpeg: bytes | None = None
    look: FrameLook | None = None

    @property
    def size_bytes(self) -> int:
        return sum(len(content) for content in self.contents)

    @property
    def contents(self) -> Iterable[bytes]:
        return (content for content in (self.frame, self.heatmap_png, self.thumbnail_jpeg) if content is not None)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the archive has of a frame: SHA-256 of the frame, of its heatmap (PNG) and its thumbnail (JPEG)."""

    source: Position
    verdict: Verdict
    judged_us: int
    archived_us: int
    frame_sha256: str
    heatmap_sha256: str | None
    thumbnail_sha256: str | None


@dataclass(frozen=True, slots=True)
class Total:
    """Number and bytes of the evidence of a verdict; pictures that several frames share count for each."""

    frames: int
    size_bytes: int


class Archive:
    """Evidence by source. Every method may raise DatabaseAway, those that touch bytes ArchiveAway too."""

    def __init__(self, database: Database, store: BlobStore, *, clock: Clock) -> None:
        self._database = database
        self._store = store
        self._clock = clock

    def evidence_of(self, sources: Sequence[Position]) -> dict[Position, Evidence]:
        """Return what the archive has of these frames; those that it lacks are left out."""
        keys = [(source.topic, source.partition, source.offset) for source in sources]
        if not keys:
            return {}
        with self._database.reading() as connection:
            rows = connection.execute(select(evidence).where(tuple_(*KEY).in_(keys)))
            found = [_evidence(row) for row in rows]
        return {one.source: one for one in found}

    def evidence(self, source: Position) -> Evidence | None:
        """Return what the archive has of that frame; None if it has nothing."""
        return self.evidence_of([source]).get(source)

    def read(self, sha256: str) -> bytes | None:
        """Return a blob's bytes; None if they were removed meanwhile, or are damaged."""
        return self._store.read(sha256)

    def totals(self) -> dict[Verdict, Total]:
        """Count the evidence by verdict."""
        query = select(evidence.c.verdict, func.count(), func.sum(evidence.c.total_bytes)).group_by(evidence.c.verdict)
        with self._database.reading() as connection:
            return {Verdict(verdict): Total(frames, int(size)) for verdict, frames, size in connection.execute(query)}

    def places(self, topic: str) -> dict[Partition, int]:
        """Return the next offsets of `results` to look at; partitions that were never looked at are missing."""
        with self._database.reading() as connection:
            return places_of(connection, places, topic)

    def keep(self, found: Sequence[FrameEvidence], *, before: Offsets, after: Offsets) -> None:
        """Store evidence and the places after it.

        `before` are the places from which it was read. Raises ArchiveBusy if they have moved: nothing is stored then.
        """
        contents = {digest(content): content for one in found for content in one.contents}
        self._claim({sha256: len(content) for sha256, content in contents.items()})
        failpoint("after-claim")
        self._store.put_all(contents)
        failpoint("after-blobs")
        with self._database.writing() as connection:
            _check_there(connection, contents)
            insert_new(connection, evidence, [self._row(one) for one in found])
            insert_new(connection, looks, [_look_row(one, one.look) for one in found if one.look is not None])
            _advance(connection, before, after)
            failpoint("in-evidence")
        failpoint("after-evidence")

    def _claim(self, sizes: Mapping[str, int]) -> None:
        """Write the rows of blobs before their bytes: a blob without a row would never be removed."""
        if not sizes:
            return
        now_us = self.now_us()
        rows: list[dict[str, Any]] = [
            {"sha256": sha256, "size_bytes": size, "claimed_us": now_us, "going": False}
            for sha256, size in sorted(sizes.items())
        ]
        with self._database.writing() as connection:
            insert = insert_into(connection, blobs)
            upsert = insert.on_conflict_do_update(
                index_elements=["sha256"],
                set_={"claimed_us": insert.excluded.claimed_us},
                where=blobs.c.going == false(),
            )
            connection.execute(upsert, rows)
            _check_there(connection, sizes)

    def _row(self, one: FrameEvidence) -> dict[str, Any]:
        return {
            **columns_of(one.source),
            "verdict": one.verdict.value,
            "judged_us": one.judged_us,
            "archived_us": self.now_us(),
            "total_bytes": one.size_bytes,
            "frame_sha256": digest(one.frame),
            "heatmap_sha256": digest(one.heatmap_png) if one.heatmap_png is not None else None,
            "thumbnail_sha256": digest(one.thumbnail_jpeg) if one.thumbnail_jpeg is not None else None,
        }

    def now_us(self) -> int:
        """Return the wall clock's time."""
        return (self._clock.now() - EPOCH) // timedelta(microseconds=1)


def _check_there(connection: Connection, wanted: Iterable[str]) -> None:
    """Lock the rows of blobs until the transaction ends. Raises ArchiveBusy if one is missing or being removed."""
    ids = sorted(wanted)
    query = select(blobs.c.sha256).where(blobs.c.sha256.in_(ids), blobs.c.going == false()).order_by(blobs.c.sha256)
    if len(connection.scalars(query.with_for_update()).all()) < len(ids):
        raise ArchiveBusy("a file of the archive is being removed")


def _look_row(one: FrameEvidence, look: FrameLook) -> dict[str, Any]:
    known = {"line": look.line, "camera": look.camera, "taken_us": look.taken_us, "look": look.look}
    return {**columns_of(one.source), "verdict": one.verdict.value, **known}


def _advance(connection: Connection, before: Offsets, after: Offsets) -> None:
    """Store the places. Raises ArchiveBusy if another process has moved them."""
    stored: dict[Partition, int] = {}
    for topic in {partition.topic for partition in before}:
        stored |= places_of(connection, places, topic, lock=True)
    if any(stored.get(partition, 0) != offset for partition, offset in before.items()):
        raise ArchiveBusy("another process archives too")
    set_places(connection, places, after)


def _evidence(row: Any) -> Evidence:
    return Evidence(
        source=Position(row.source_topic, row.source_partition, row.source_offset),
        verdict=Verdict(row.verdict),
        judged_us=row.judged_us,
        archived_us=row.archived_us,
        frame_sha256=row.frame_sha256,
        heatmap_sha256=row.heatmap_sha256,
        thumbnail_sha256=row.thumbnail_sha256,
    )
