"""Frames from `images` for a member of the consumer group."""

from collections.abc import Iterable, Mapping, Sequence
from threading import Lock
from typing import Any

import structlog
from kafka import ConsumerRebalanceListener, KafkaConsumer, TopicPartition
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.errors import (
    CommitFailedError,
    CorruptRecordError,
    FencedInstanceIdError,
    IllegalGenerationError,
    KafkaError,
    RebalanceInProgressError,
    UnknownMemberIdError,
)

from qc_worker.domain.errors import TransportError
from qc_worker.domain.frame import Offsets, Partition, Record
from qc_worker.transport.group_join import poll_timeout_s
from qc_worker.transport.kafka_config import Connections, KafkaAccess, open_client, transport_errors
from qc_worker.transport.kafka_records import to_commit, to_partition, to_record
from qc_worker.transport.limits import RECORD_HEADROOM_BYTES

log = structlog.get_logger()

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


class KafkaFrameSource:
    """One member of the consumer group; offsets are committed by hand only."""

    def __init__(
        self, access: KafkaAccess, *, topic: str, group: str, max_frame_bytes: int, session_timeout_ms: int = 45_000
    ) -> None:
        self._access = access
        self._topic = topic
        self._config = _consumer_config(group, max_frame_bytes, session_timeout_ms)
        self._assignor = CooperativeStickyAssignor()
        self._connections = Connections()
        self._paused = False
        self._membership = _Membership()
        self._open: KafkaConsumer | None = None

    def start(self) -> None:
        """Connect and subscribe; the group is joined by the polls that follow."""
        # Cooperative (KIP-429), not eager: an eager rebalance revokes everything, hands most of it back, and goes on
        # after the frames already polled, so that dropping the revoked frames would lose them. Tansu takes both.
        self._connections = Connections()
        consumer = open_client(
            KafkaConsumer,
            self._access,
            self._connections,
            partition_assignment_strategy=[self._assignor],
            **self._config,
        )
        self._open = consumer
        consumer.subscribe([self._topic], listener=_Listener(self))

    def poll(self, *, timeout_s: float, max_records: int) -> Sequence[Record]:
        # First, and not after the poll: a failure there would throw away records that count as polled.
        self._commit_owed()
        with transport_errors(f"polling {self._topic}"):
            polled = self._poll(timeout_s, max_records)
        return [to_record(record) for records in polled.values() for record in records]

    def take_lost(self) -> frozenset[Partition]:
        return self._membership.take_lost()

    def pause(self) -> None:
        self._paused = True
        self._consumer.pause(*self._consumer.assignment())

    def resume(self) -> None:
        self._paused = False
        self._consumer.resume(*self._consumer.assignment())

    def commit(self, offsets: Offsets) -> None:
        self._membership.owe(offsets)
        self._commit_owed()

    def assignment(self) -> frozenset[Partition]:
        return frozenset(map(to_partition, self._consumer.assignment()))

    def lag_frames(self) -> int:
        return sum(self._lag(partition) for partition in self._consumer.assignment())

    def reachable(self) -> bool:
        """Whether a connection to any broker stands."""
        return self._open is not None and self._connections.reachable()

    def close(self) -> None:
        if self._open is None:
            return
        consumer, self._open = self._open, None
        try:
            consumer.close(autocommit=False, timeout_ms=CLOSE_TIMEOUT_MS)
        except (KafkaError, OSError, RuntimeError) as error:
            # The group notices by the session timeout what it could not be told.
            log.warning("leaving the consumer group failed", error=str(error))
        finally:
            self._connections.close()

    def _poll(self, timeout_s: float, max_records: int) -> Mapping[TopicPartition, Sequence[Any]]:
        try:
            polled: Mapping[TopicPartition, Sequence[Any]] = self._consumer.poll(
                timeout_ms=int(poll_timeout_s(self._consumer, timeout_s) * 1000), max_records=max_records
            )
        except CorruptRecordError:
            # Polled again, kafka-python would spin on the broken batch without an end: only a new consumer helps.
            self.close()
            self.start()
            raise
        return polled

    def _on_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        # A partition that arrives while we hold back must be held back too; nothing of it has been fetched yet.
        if self._paused and self._open is not None:
            self._open.pause(*assigned)

    def _on_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        self._membership.lose(map(to_partition, revoked))

    def _on_lost(self, lost: Iterable[TopicPartition]) -> None:
        self._membership.lose(map(to_partition, lost))
        # kafka-python would go on to claim these partitions when it joins again, and the group's leader would
        # believe it and take them from the member that has them by now.
        self._assignor.member_assignment = None

    def _commit_owed(self) -> None:
        owed = self._membership.owed(self.assignment())
        if not owed:
            return
        try:
            self._consumer.commit(to_commit(owed), timeout_ms=COMMIT_TIMEOUT_MS)
        except NOT_A_MEMBER as error:
            # Either the partitions go to another member, which gets these frames again, or we keep them,
            # and the next poll or commit settles what is owed.
            log.info("commit put off by a rebalance", error=type(error).__name__, partitions=len(owed))
        except (KafkaError, OSError, RuntimeError) as error:
            raise TransportError(f"committing offsets of {self._topic}: {type(error).__name__}: {error}") from error
        else:
            self._membership.settle(owed)

    def _lag(self, partition: TopicPartition) -> int:
        try:
            highwater = self._consumer.highwater(partition)
            # Without a high watermark nothing was fetched yet, and asking for the position would ask the broker.
            position = None if highwater is None else self._consumer.position(partition, timeout_ms=0)
        except (KafkaError, KeyError, RuntimeError):
            return 0  # revoked between the two questions
        return max(0, highwater - position) if position is not None else 0

    @property
    def _consumer(self) -> KafkaConsumer:
        if self._open is None:
            raise TransportError("the frame source is not started, or closed")
        return self._open


class _Membership:
    """What the group took away and what we still owe it; the rebalance callbacks come from kafka-python's IO thread."""

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


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]  # kafka-python has no types
    """Runs on the loop that also sends heartbeats, so it only takes notes."""

    def __init__(self, source: KafkaFrameSource) -> None:
        self._source = source

    def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        self._source._on_revoked(revoked)

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        self._source._on_assigned(assigned)

    def on_partitions_lost(self, lost: Iterable[TopicPartition]) -> None:
        self._source._on_lost(lost)


def _consumer_config(group: str, max_frame_bytes: int, session_timeout_ms: int) -> dict[str, Any]:
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
        "session_timeout_ms": session_timeout_ms,
        "heartbeat_interval_ms": min(3_000, session_timeout_ms // 4),
    }
