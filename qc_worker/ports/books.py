"""Whole topics, read from offset to offset: for audits."""

from collections.abc import Iterator
from datetime import datetime
from typing import Protocol

from qc_worker.domain.frame import Offsets, Partition, Record


class Books(Protocol):
    """Reads whole topics without joining a group; committed records only. Every method may raise TransportError.

    A topic that does not exist is a TransportError.
    """

    def oldest(self, topic: str) -> dict[Partition, int]:
        """Return each partition's first offset that retention has left."""
        ...

    def ends(self, topic: str) -> dict[Partition, int]:
        """Return each partition's high watermark: the offset of the next record."""
        ...

    def at(self, topic: str, time: datetime) -> dict[Partition, int]:
        """Return each partition's first offset whose record is not older than `time`; its end if there is none."""
        ...

    def oldest_times(self, topic: str) -> dict[Partition, datetime]:
        """Return the time of the oldest record, for partitions where retention has removed some and left some."""
        ...

    def committed(self, topic: str, group: str) -> dict[Partition, int]:
        """Return the group's committed offsets; partitions without one are left out."""
        ...

    def await_readable(self, topic: str) -> None:
        """Wait until all that lies on the topic now can be read: an open transaction hides what others committed.

        Raises TransportError if one stays open too long.
        """
        ...

    def read(self, starts: Offsets) -> Iterator[Record]:
        """Yield records from `starts` to the current ends; in offset order within each partition."""
        ...

    def close(self) -> None:
        """Disconnect."""
        ...
