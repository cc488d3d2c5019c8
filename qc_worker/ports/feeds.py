"""Topics followed from places that the reader remembers itself, without a consumer group."""

from dataclasses import dataclass
from typing import Protocol, TypeVar

from qc_worker.domain.collected import Collected
from qc_worker.domain.feedback import Feedback
from qc_worker.domain.frame import Offsets, Partition, Position
from qc_worker.domain.release import Release

T = TypeVar("T")


class Published(Protocol):
    """A record that could be read, with its bytes."""

    @property
    def position(self) -> Position:
        """Topic, partition and offset of the record itself."""
        ...

    @property
    def content(self) -> bytes:
        """The record's bytes."""
        ...


@dataclass(frozen=True, slots=True)
class PublishedRelease:
    """A release as it lies on `models`."""

    release: Release
    position: Position
    content: bytes


@dataclass(frozen=True, slots=True)
class PublishedFeedback:
    """A person's verdict as it lies on `feedback`."""

    feedback: Feedback
    position: Position
    content: bytes


@dataclass(frozen=True, slots=True)
class PublishedCollected:
    """The outcome of a verdict as it lies on `samples`."""

    collected: Collected
    position: Position
    content: bytes


class Feed(Protocol[T]):
    """Follows a topic; committed records only. Used by one thread, apart from `interrupt`.

    Every method but `reachable`, `interrupt` and `close` may raise TransportError.
    """

    def oldest(self) -> dict[Partition, int]:
        """Return each partition's first offset that retention has left; may be called before `start`."""
        ...

    def start(self, starts: Offsets | None = None) -> None:
        """Connect and fix the places to read from.

        A partition that is not in `starts` is read from its beginning, or from its end now if the feed was made so. So
        is one whose place retention has removed. Partitions that are added later are read from their beginning.
        """
        ...

    def poll(self, *, timeout_s: float) -> list[T]:
        """Wait up to `timeout_s` for new records; unreadable ones are logged and left out.

        Raises TransportError if the feed is not started, or closed.
        """
        ...

    def places(self) -> dict[Partition, int]:
        """Return each partition's next offset to read: behind all that was polled, unreadable records included."""
        ...

    def reachable(self) -> bool:
        """Return True if a broker is connected; asks none. Polls of a feed that has lost its broker may be just empty.

        A feed reads on by itself when its broker is back.
        """
        ...

    def interrupt(self) -> None:
        """Have the call that another thread waits in raise TransportError, and all later ones; then only `close` it.

        A call that begins at the same moment may be missed: repeat it until that thread has noticed.
        """
        ...

    def close(self) -> None:
        """Disconnect."""
        ...
