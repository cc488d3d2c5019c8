"""What the engine and the trainer need from the outside; adapters live in `transport` and `registry`."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from qc_worker.domain.feedback import Feedback
from qc_worker.domain.frame import Offsets, Partition, Position, Record
from qc_worker.domain.inspection import Inspection, Outcome
from qc_worker.domain.release import Release


class Clock(Protocol):
    """Time, injected so that tests need not wait."""

    def monotonic(self) -> float:
        """Seconds, for durations only."""
        ...

    def now(self) -> datetime:
        """Wall clock in UTC, for stamps only."""
        ...


class FrameSource(Protocol):
    """Records of `images`, polled by one thread. Every method may raise TransportError."""

    def start(self) -> None:
        """Join the consumer group."""
        ...

    def poll(self, *, timeout_s: float, max_records: int) -> Sequence[Record]:
        """Wait up to `timeout_s` for records; offset order within a partition. Paused: returns none."""
        ...

    def take_lost(self) -> frozenset[Partition]:
        """Partitions taken away since the last call; their frames in flight must not be published.

        Ask after each poll and before taking in what it returned: a partition can be lost, come back and deliver its
        uncommitted frames anew within one poll, and only those of earlier polls are void.
        """
        ...

    def has_suspects(self) -> bool:
        """Whether a frame that comes next may have killed a process: poll one, and only when none is in flight."""
        ...

    def pause(self) -> None:
        """Fetch no more, but stay a member of the group."""
        ...

    def resume(self) -> None:
        """Fetch again."""
        ...

    def commit(self, offsets: Offsets) -> None:
        """Commit synchronously; partitions lost in the meantime are left out in silence.

        What could not be committed stays owed, and a later poll or commit settles it.
        """
        ...

    def assignment(self) -> frozenset[Partition]:
        """Partitions this member owns now."""
        ...

    def lag_frames(self) -> int:
        """High watermark minus position, summed over the assignment."""
        ...

    def reachable(self) -> bool:
        """Whether a broker is connected, as far as known without asking it; safe from any thread."""
        ...

    def close(self, *, in_order: bool = True) -> None:
        """Leave the group; commits no frame. Not in order: what is in flight is left as by a worker that died."""
        ...


class InspectionSink(Protocol):
    """Where inspections and dead letters go, together with the offsets that they settle."""

    def start(self) -> None:
        """Connect."""
        ...

    def publish(self, outcomes: Sequence[Outcome], offsets: Offsets) -> None:
        """Publish in the order given, wait for the acknowledgement, then commit `offsets`.

        Raises TransportError: some may have been published, none of `offsets` is committed.
        """
        ...

    def close(self) -> None:
        """Flush and disconnect."""
        ...


@dataclass(frozen=True, slots=True)
class HeatmapEntry:
    """A rendered heatmap (PNG) and the frame's thumbnail (JPEG)."""

    key: str
    heatmap_png: bytes
    thumbnail_jpeg: bytes


class HeatmapCache(Protocol):
    """Pictures for dashboards. Never in the way of a verdict: failing is quick and raises nothing."""

    def put(self, entries: Sequence[HeatmapEntry]) -> bool:
        """Keep the entries for the cache's time to live; False if the cache is away."""
        ...

    def get(self, key: str) -> HeatmapEntry | None:
        """The entry, or None if it is not there (any more)."""
        ...

    def available(self) -> bool:
        """Whether the last call went well enough to try again."""
        ...

    def close(self) -> None:
        """Disconnect."""
        ...


class ReleaseLog(Protocol):
    """The compacted topic `models`: the newest release of every line."""

    refused: int
    """Records left out so far because they could not be read."""

    def announce(self, release: Release) -> None:
        """Append and wait for the acknowledgement. Raises TransportError."""
        ...

    def read_all(self) -> dict[str, Release]:
        """The newest release of each line now, by line. Unreadable ones are logged and left out."""
        ...

    def poll(self, *, timeout_s: float) -> Sequence[Release]:
        """Releases since the last `read_all` or `poll`, oldest first."""
        ...

    def close(self) -> None:
        """Disconnect."""
        ...


class FeedbackSource(Protocol):
    """Operators' verdicts from `feedback`, remembered by consumer group."""

    def poll(self, *, timeout_s: float) -> Sequence[Feedback]:
        """The next feedback; empty when none came within `timeout_s`. Unreadable ones are logged and left out."""
        ...

    def commit(self) -> None:
        """All that was polled has been stored."""
        ...

    def close(self) -> None:
        """Disconnect."""
        ...


class FrameReader(Protocol):
    """Reads recorded frames back."""

    def read(self, position: Position) -> Record | None:
        """The record at that position, or None if retention has removed it."""
        ...

    def close(self) -> None:
        """Disconnect."""
        ...


class RecentInspections(Protocol):
    """Reads the newest inspections back from `results`. Every method may raise TransportError."""

    def last(self, line: str, count: int) -> Sequence[Inspection]:
        """The line's last `count` inspections, or as many as there are, oldest first; unreadable ones are left out."""
        ...

    def close(self) -> None:
        """Disconnect."""
        ...


class ModelStore(Protocol):
    """Model folders (`head.safetensors` + `card.json`) by line and version.

    A card with `head_of` shares the head of that version of its line, and lies in the store alone.
    """

    def lines(self) -> list[str]:
        """Lines with at least one version."""
        ...

    def versions(self, line: str) -> list[str]:
        """Complete versions of a line, oldest first."""
        ...

    def add(self, folder: Path, *, line: str, version: str) -> None:
        """Copy a model folder in; it appears whole or not at all. Raises ModelError."""
        ...

    def fetch(self, line: str, version: str, *, into: Path) -> Path:
        """Copy a version to the local folder `into/<line>/<version>` and return that. Raises ModelError.

        A shared head is copied there as well: from a version below `into` that has it, else from the store.
        """
        ...

    def releases(self, line: str) -> list[Release]:
        """Every release of the line, oldest first; the last one is live."""
        ...

    def record_release(self, release: Release) -> None:
        """Append to the line's release history. Raises ModelError."""
        ...
