"""Archives for tests, and a way to end a process at each of its steps."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import count

import fsspec
from sqlalchemy import Connection, select

from qc_dashboard.archive.archive import Archive, FrameEvidence
from qc_dashboard.archive.blobs import BlobStore
from qc_dashboard.archive.policy import ArchivePolicy
from qc_dashboard.archive.retention import Retention
from qc_dashboard.archive.tables import blobs, evidence
from qc_dashboard.database.database import Database
from qc_worker.domain.frame import Partition, Position
from qc_worker.domain.inspection import Verdict
from tests.support.factories import ManualClock

RESULTS = Partition("results", 0)
DAYS: Mapping[Verdict, int] = {
    Verdict.REJECT: 365,
    Verdict.REVIEW: 365,
    Verdict.ERROR: 90,
    Verdict.NO_MODEL: 30,
    Verdict.PASS: 30,
}
POLICY = ArchivePolicy(DAYS, pass_share=1.0, max_bytes=1 << 40)


def us(time: datetime) -> int:
    return (time - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def found(offset: int, verdict: Verdict = Verdict.REJECT, *, judged_us: int = 0, size: int = 100) -> FrameEvidence:
    """Evidence whose frame and heatmap have that many bytes each."""
    frame, heatmap = (f"{what} {offset} ".encode().ljust(size, b".") for what in ("frame", "heatmap"))
    return FrameEvidence(Position("images", 0, offset), verdict, judged_us, frame, heatmap, b"thumbnail")


class Crash(BaseException):
    """The end of the process."""


class Steps:
    """Counts steps, and ends the process at one of them; 0: at none."""

    def __init__(self, last: int = 0) -> None:
        self._last = last
        self._steps = count(1)
        self.passed = 0

    def step(self) -> None:
        self.passed = next(self._steps)
        if self.passed == self._last:
            raise Crash


class CrashingDatabase(Database):
    """Crashes before a transaction, before its commit, or after it."""

    def __init__(self, database: Database, steps: Steps) -> None:
        super().__init__(database.engine)
        self._steps = steps

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        self._steps.step()
        with super().writing() as connection:
            yield connection
            self._steps.step()
        self._steps.step()


class CrashingStore(BlobStore):
    """Crashes before or after a file is written or removed."""

    def __init__(self, url: str, steps: Steps) -> None:
        super().__init__(url)
        self._steps = steps

    def put(self, sha256: str, content: bytes) -> None:
        self._steps.step()
        super().put(sha256, content)
        self._steps.step()

    def remove(self, sha256: str) -> None:
        self._steps.step()
        super().remove(sha256)
        self._steps.step()


class Plant:
    """An archive at a URL with its retention, as one process has it."""

    def __init__(
        self, database: Database, url: str, *, policy: ArchivePolicy = POLICY, steps: Steps | None = None
    ) -> None:
        self.clock = ManualClock()
        self.url = url
        self.database = CrashingDatabase(database, steps) if steps else database
        self.store = CrashingStore(url, steps) if steps else BlobStore(url)
        self.archive = Archive(self.database, self.store, clock=self.clock)
        self.retention = Retention(self.database, self.store, policy)

    def keep(self, *evidence_: FrameEvidence, start: int = 0, end: int = 1) -> None:
        self.archive.keep(evidence_, before={RESULTS: start}, after={RESULTS: end})

    def files(self) -> set[str]:
        """Return the names of all files in the archive, hidden ones too."""
        file_system, root = fsspec.core.url_to_fs(self.url)
        return {path.rpartition("/")[2] for path in file_system.find(root)}

    def needed(self) -> set[str]:
        """Return the blobs that evidence refers to."""
        columns = (evidence.c.frame_sha256, evidence.c.heatmap_sha256, evidence.c.thumbnail_sha256)
        with self.database.reading() as connection:
            return {sha256 for row in connection.execute(select(*columns)) for sha256 in row if sha256 is not None}

    def known(self) -> set[str]:
        """Return the blobs that have a row."""
        with self.database.reading() as connection:
            return set(connection.scalars(select(blobs.c.sha256)))

    def check_whole(self) -> None:
        """Check that everything that is referred to is there, byte for byte."""
        assert all(self.archive.read(sha256) is not None for sha256 in self.needed())
