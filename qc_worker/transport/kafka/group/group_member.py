"""A consumer's membership in its group: what it owns, what was taken from it, what it still owes."""

from collections.abc import Collection, Iterable
from threading import Lock
from typing import Any, Protocol

from kafka import ConsumerRebalanceListener, KafkaConsumer, TopicPartition
from kafka.errors import (
    CommitFailedError,
    FencedInstanceIdError,
    IllegalGenerationError,
    RebalanceInProgressError,
    UnknownMemberIdError,
)

from qc_worker.domain.frame import Offsets, Partition
from qc_worker.transport.kafka_fixes import private_api
from qc_worker.transport.limits import RECORD_HEADROOM_BYTES

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


class GroupMembership:
    """Told by the rebalance callbacks, which come from kafka-python's IO thread, and asked by the polling thread."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._lost: set[Partition] = set()
        self._owed: dict[Partition, int] = {}

    def lose(self, partitions: Iterable[Partition]) -> None:
        with self._lock:
            for partition in partitions:
                self._lost.add(partition)
                self._owed.pop(partition, None)

    def take_lost(self) -> frozenset[Partition]:
        with self._lock:
            lost, self._lost = frozenset(self._lost), set()
        return lost

    def has_kept(self, partitions: Collection[Partition], owned: frozenset[Partition]) -> bool:
        """Whether all are owned, and none was lost and given back since `take_lost`."""
        with self._lock:
            return owned.issuperset(partitions) and self._lost.isdisjoint(partitions)

    def owe(self, offsets: Offsets) -> None:
        with self._lock:
            self._owed.update(offsets)

    def owed(self, owned: frozenset[Partition]) -> dict[Partition, int]:
        """Offsets to commit, of owned partitions only; those of others are forgotten."""
        with self._lock:
            self._owed = {partition: offset for partition, offset in self._owed.items() if partition in owned}
            return dict(self._owed)

    def settle(self, committed: Offsets) -> None:
        with self._lock:
            for partition, offset in committed.items():
                if self._owed.get(partition) == offset:
                    del self._owed[partition]


class Rebalanced(Protocol):
    """Who wants to know; called on the loop that also sends heartbeats, so take notes and return."""

    def on_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """These came."""
        ...

    def on_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """These go to another member."""
        ...

    def on_lost(self, lost: Iterable[TopicPartition]) -> None:
        """These are gone already: the group went on without us."""
        ...


class RebalanceListener(ConsumerRebalanceListener):  # type: ignore[misc]  # kafka-python has no types
    """Passes the callbacks on."""

    def __init__(self, rebalanced: Rebalanced) -> None:
        self._rebalanced = rebalanced

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        self._rebalanced.on_assigned(assigned)

    def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        self._rebalanced.on_revoked(revoked)

    def on_partitions_lost(self, lost: Iterable[TopicPartition]) -> None:
        self._rebalanced.on_lost(lost)


def forget_asked_offsets(consumer: KafkaConsumer) -> None:
    """Let what is asked next of committed offsets be answered by the broker.

    kafka-python 3.0.12 keeps a question that nobody waits for any more, by its partitions and without an end. Its
    answer may come when others have long committed there: taken for a new one, it would rewind the group to it.
    """
    private_api.forget_asked_offsets(consumer)


def member_config(
    group: str, max_frame_bytes: int, session_timeout_ms: int, metadata_max_age_ms: int
) -> dict[str, Any]:
    """kafka-python's configuration of a member that commits by hand and holds little in memory."""
    fetch_bytes = max_frame_bytes + RECORD_HEADROOM_BYTES
    return {
        "group_id": group,
        "enable_auto_commit": False,
        "auto_offset_reset": "earliest",
        "isolation_level": "read_committed",
        "allow_auto_create_topics": False,
        "check_crcs": True,
        "metrics_enabled": False,  # kafka-python's own, which nobody reads
        "max_partition_fetch_bytes": fetch_bytes,
        # Bounds what waits in the client: a whole fetch may lie there undelivered while we are paused.
        "fetch_max_bytes": 2 * fetch_bytes,
        "metadata_max_age_ms": metadata_max_age_ms,  # partitions that are added are noticed within it
        "session_timeout_ms": session_timeout_ms,
        "heartbeat_interval_ms": min(3_000, session_timeout_ms // 4),
    }
