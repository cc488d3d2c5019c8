"""Frames: pushed by cameras, polled by workers, read back by position."""

from collections.abc import Sequence
from typing import Protocol

from qc_worker.domain.frame import ImageMessage, Offsets, Partition, Position, Record


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
        uncommitted frames again within one poll, and only those of earlier polls are void.
        """
        ...

    def has_suspects(self) -> bool:
        """Return True if the next frame may have killed a process: poll one, and only when none is in flight."""
        ...

    def pause(self) -> None:
        """Fetch no more, but stay a member of the group."""
        ...

    def resume(self) -> None:
        """Fetch again."""
        ...

    def commit(self, offsets: Offsets) -> None:
        """Commit synchronously; partitions lost in the meantime are left out.

        What could not be committed stays pending, and a later poll or commit commits it.
        """
        ...

    def assignment(self) -> frozenset[Partition]:
        """Partitions this member owns now."""
        ...

    def lag_frames(self) -> int:
        """High watermark minus position, summed over the assignment."""
        ...

    def reachable(self) -> bool:
        """Return True if a broker is connected, as far as known without asking it; safe from any thread."""
        ...

    def close(self, *, in_order: bool = True) -> None:
        """Leave the group; commits no frame. Not in order: what is in flight is left as by a worker that died."""
        ...


class FrameReader(Protocol):
    """Reads recorded frames back."""

    def read(self, position: Position) -> Record | None:
        """Return the record at that position; None if retention has removed it, or there never was one."""
        ...

    def close(self) -> None:
        """Disconnect."""
        ...


class FrameReceipt(Protocol):
    """The receipt for a frame that was sent, acknowledged or not yet."""

    def position(self, *, timeout_s: float) -> Position:
        """Wait for the acknowledgement and return where the frame lies. Raises TransportError."""
        ...


class FrameOutbox(Protocol):
    """Sends frames to `images` in order, without waiting for each. Every method may raise TransportError."""

    def send(self, message: ImageMessage, *, partition: int | None = None) -> FrameReceipt:
        """Send one frame, to the partition that its key names if none is given."""
        ...

    def flush(self) -> None:
        """Wait until every frame sent is acknowledged. Raises TransportError if one is not."""
        ...

    def close(self) -> None:
        """Flush and disconnect."""
        ...
