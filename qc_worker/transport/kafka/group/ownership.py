"""Partitions that the group has taken from a member, and offsets that the member has still to commit."""

from collections.abc import Collection, Iterable
from threading import Lock

from kafka.errors import (
    CommitFailedError,
    FencedInstanceIdError,
    IllegalGenerationError,
    RebalanceInProgressError,
    UnknownMemberIdError,
)

from qc_worker.domain.frame import Offsets, Partition

COMMIT_TIMEOUT_MS = 5_000
CLOSE_TIMEOUT_MS = 5_000

NOT_A_MEMBER = (
    CommitFailedError,
    FencedInstanceIdError,
    IllegalGenerationError,
    RebalanceInProgressError,
    UnknownMemberIdError,
)
"""The group is being reshuffled, or went on without this member: the offsets stay uncommitted, nothing is broken."""


class Ownership:
    """Lost partitions and pending offsets; rebalance callbacks write from kafka-python's IO thread, hence the lock."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._lost: set[Partition] = set()
        self._pending: dict[Partition, int] = {}

    def lose(self, partitions: Iterable[Partition]) -> None:
        """Record partitions as lost, and drop their pending offsets."""
        with self._lock:
            for partition in partitions:
                self._lost.add(partition)
                self._pending.pop(partition, None)

    def take_lost(self) -> frozenset[Partition]:
        """Return the partitions lost since the last call."""
        with self._lock:
            lost, self._lost = frozenset(self._lost), set()
        return lost

    def has_kept(self, partitions: Collection[Partition], owned: frozenset[Partition]) -> bool:
        """Return True if all are owned, and none was lost and given back since `take_lost`."""
        with self._lock:
            return owned.issuperset(partitions) and self._lost.isdisjoint(partitions)

    def add_pending(self, offsets: Offsets) -> None:
        """Remember offsets until they are committed or their partition is lost."""
        with self._lock:
            self._pending.update(offsets)

    def pending(self, owned: frozenset[Partition]) -> dict[Partition, int]:
        """Return the offsets to commit; drop those of partitions that are not in `owned`."""
        with self._lock:
            self._pending = {partition: offset for partition, offset in self._pending.items() if partition in owned}
            return dict(self._pending)

    def mark_committed(self, offsets: Offsets) -> None:
        """Drop pending offsets that are equal to those committed."""
        with self._lock:
            for partition, offset in offsets.items():
                if self._pending.get(partition) == offset:
                    del self._pending[partition]
