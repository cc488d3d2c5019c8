"""Inspections: published, followed, read back, and their pictures."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from qc_worker.domain.frame import Offsets, Position
from qc_worker.domain.inspection import Inspection, Outcome
from qc_worker.ports.feeds import Feed


class InspectionSink(Protocol):
    """Publishes inspections and dead letters together with the offsets that they settle."""

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
class PublishedInspection:
    """An inspection as it lies on `results`."""

    inspection: Inspection
    position: Position
    key: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    appended_at: datetime
    content: bytes
    """The inspection as JSON, byte for byte."""


class InspectionFeed(Feed[PublishedInspection], Protocol):
    """Follows `results` without a consumer group."""

    def read(self, *, timeout_s: float) -> Iterator[PublishedInspection]:
        """Yield inspections as they come, for `timeout_s`."""
        ...


class RecentInspections(Protocol):
    """Reads the newest inspections back from `results`. Every method may raise TransportError."""

    def last(self, line: str, count: int) -> Sequence[Inspection]:
        """Return the line's last `count` inspections, or as many as there are, oldest first.

        Unreadable ones are logged and left out.
        """
        ...

    def close(self) -> None:
        """Disconnect."""
        ...


@dataclass(frozen=True, slots=True)
class HeatmapEntry:
    """A rendered heatmap (PNG) and the frame's thumbnail (JPEG)."""

    key: str
    heatmap_png: bytes
    thumbnail_jpeg: bytes


class HeatmapCache(Protocol):
    """Keeps pictures for dashboards. It never delays a verdict: calls fail quickly and raise nothing."""

    def put(self, entries: Sequence[HeatmapEntry]) -> bool:
        """Keep the entries for the cache's time to live; return False if the cache cannot be reached."""
        ...

    def get(self, key: str) -> HeatmapEntry | None:
        """Return the entry; None if it is missing or expired."""
        ...

    def available(self) -> bool:
        """Return True if the last call succeeded, or it is time to try again."""
        ...

    def close(self) -> None:
        """Disconnect."""
        ...
