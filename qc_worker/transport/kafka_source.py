"""Frames from `images` for a member of the consumer group."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from threading import Lock
from typing import Any
from uuid import uuid4

import structlog
from kafka import ConsumerRebalanceListener, KafkaAdminClient, KafkaConsumer, OffsetAndMetadata, TopicPartition
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

from qc_worker.domain.errors import GroupRebalancing, TransportError
from qc_worker.domain.frame import Offsets, Partition, Record
from qc_worker.transport.group_join import poll_timeout_s
from qc_worker.transport.kafka_config import Connections, KafkaAccess, open_client, transport_errors
from qc_worker.transport.kafka_records import to_commit, to_partition, to_record, to_topic_partition
from qc_worker.transport.limits import RECORD_HEADROOM_BYTES
from qc_worker.transport.trials import Note, Trials, decode_note, left_by_the_dead

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
        self,
        access: KafkaAccess,
        *,
        topic: str,
        group: str,
        max_frame_bytes: int,
        session_timeout_ms: int = 45_000,
        max_poll_interval_ms: int = 300_000,
        max_in_flight_frames: int = 128,
    ) -> None:
        self._access = access
        self._topic = topic
        self._group = group
        self._trials = Trials(f"qc-worker-{uuid4()}")
        self._reach = max_in_flight_frames
        self._config = {
            **_consumer_config(group, max_frame_bytes, session_timeout_ms),
            "client_id": self._trials.worker,
            "max_poll_interval_ms": max_poll_interval_ms,
        }
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
        records = [to_record(record) for records in polled.values() for record in records]
        try:
            self._begin_trials(records)
        except TransportError:
            self._unpoll(records)
            raise
        if not self._trials.under_suspicion:
            return records
        if not records and not self._paused:
            self._absolve()
        self._unpoll(records[1:])
        return [replace(record, crashes=self._trials.crashes(record.position)) for record in records[:1]]

    def take_lost(self) -> frozenset[Partition]:
        return self._membership.take_lost()

    def under_suspicion(self) -> bool:
        return self._trials.under_suspicion

    def pause(self) -> None:
        self._paused = True
        self._consumer.pause(*self._consumer.assignment())

    def resume(self) -> None:
        self._paused = False
        self._consumer.resume(*self._consumer.assignment())

    def commit(self, offsets: Offsets) -> None:
        self._membership.owe(offsets)
        self._commit_owed()

    def membership(self, partitions: Collection[Partition]) -> Any:
        """kafka-python's ConsumerGroupMetadata, by which the broker refuses offsets of a member that is none any more.

        Raises GroupRebalancing unless all of `partitions` are ours, without a break since they were polled.
        """
        # Before looking at the partitions: one that is taken away after the look goes to another member by a later
        # generation only, and then the broker refuses this one.
        membership = self._consumer.group_metadata()
        if membership.generation_id < 0:  # the broker would take it for a consumer without any group, and accept
            raise GroupRebalancing("not a member of the consumer group at the moment")
        if not self._membership.has_kept(partitions, self.assignment()):
            raise GroupRebalancing("partitions were taken away")
        return membership

    def to_commit(self, offsets: Offsets) -> dict[TopicPartition, OffsetAndMetadata]:
        """Offsets with our notes, as kafka-python commits them."""
        notes = {partition: self._trials.note_at(partition, offset).encode() for partition, offset in offsets.items()}
        return to_commit(offsets, notes)

    def settle(self, offsets: Offsets) -> None:
        """These were committed in a transaction."""
        self._trials.settle(offsets)

    def committed(self, partitions: Collection[Partition]) -> dict[Partition, int]:
        """Committed offsets, once no transaction on them is open any more. Raises TransportError."""
        with transport_errors(f"asking for committed offsets of {self._topic}"):
            found = {
                partition: self._consumer.committed(to_topic_partition(partition), timeout_ms=COMMIT_TIMEOUT_MS)
                for partition in partitions
            }
        return {partition: offset for partition, offset in found.items() if offset is not None}

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
        self._take_notes_away()
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

    def _begin_trials(self, records: Sequence[Record]) -> None:
        """Look up and leave a note for each partition from which the first frames came. Raises TransportError."""
        first: dict[Partition, int] = {}
        for record in records:
            first.setdefault(record.position.shard, record.position.offset)
        for partition in self._trials.unknown(first):
            inherited = self._left_by_the_dead(partition)
            note = self._trials.begin(partition, first[partition], inherited)
            with transport_errors(f"noting who reads {self._topic}"):
                try:
                    commit = to_commit({partition: first[partition]}, {partition: note.encode()})
                    self._consumer.commit(commit, timeout_ms=COMMIT_TIMEOUT_MS)
                except NOT_A_MEMBER as error:
                    # It goes to another member, or the next commit brings the note.
                    log.info("note put off by a rebalance", error=type(error).__name__)

    def _left_by_the_dead(self, partition: Partition) -> Note | None:
        with transport_errors(f"asking who read {self._topic} before"):
            found = self._consumer.committed(to_topic_partition(partition), metadata=True, timeout_ms=COMMIT_TIMEOUT_MS)
            note = decode_note(found.metadata) if found else None
            if note is None or not note.worker or note.worker == self._trials.worker or note.worker in self._members():
                return note if note and not note.worker else None
            end = self._consumer.end_offsets([to_topic_partition(partition)])[to_topic_partition(partition)]
        suspicion = left_by_the_dead(note, found.offset, reach=self._reach, end=end)
        log.warning(
            "a worker died with frames in flight",
            partition=partition.partition,
            offset=found.offset,
            crashes=suspicion.crashes,
            one_at_a_time_until=suspicion.until,
        )
        return suspicion

    def _absolve(self) -> None:
        """End a suspicion whose last frame is judged, where only marks of transactions follow: nothing is in flight."""
        for partition, until in self._trials.suspects().items():
            with suppress(KafkaError, RuntimeError, AssertionError):  # taken away in the meantime
                if (self._consumer.position(to_topic_partition(partition), timeout_ms=0) or 0) >= until:
                    self._trials.absolve(partition)

    def _members(self) -> set[str]:
        """Client ids of the group's members, as far as the broker tells; taking one for dead costs time, no more."""
        admin = open_client(KafkaAdminClient, self._access)
        try:
            return {member["client_id"] for member in admin.describe_groups([self._group])[self._group]["members"]}
        except ValueError:  # kafka-python knows no rights but those of its own time
            return set()
        finally:
            admin.close()

    def _unpoll(self, records: Sequence[Record]) -> None:
        """Let the next poll bring them again."""
        first: dict[Partition, int] = {}
        for record in records:
            first.setdefault(record.position.shard, record.position.offset)
        for partition, offset in first.items():
            with suppress(KafkaError, RuntimeError, AssertionError):  # taken away in the meantime
                self._consumer.seek(to_topic_partition(partition), offset)

    def _take_notes_away(self) -> None:
        """We leave in order: our absence is no reason to suspect anything."""
        owned = self.assignment()
        parting = {partition: left for partition, left in self._trials.parting().items() if partition in owned}
        if not parting or not self.reachable():  # whoever stops us does not wait for a broker that is away
            return
        offsets = {partition: offset for partition, (offset, _) in parting.items()}
        notes = {partition: note.encode() for partition, (_, note) in parting.items() if note}
        try:
            self._consumer.commit(to_commit(offsets, notes), timeout_ms=COMMIT_TIMEOUT_MS)
        except (KafkaError, OSError, RuntimeError) as error:
            log.info("notes stay", error=type(error).__name__)

    def _on_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        # A partition that arrives while we hold back must be held back too; nothing of it has been fetched yet.
        if self._paused and self._open is not None:
            self._open.pause(*assigned)

    def _on_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        self._lose([to_partition(partition) for partition in revoked])

    def _on_lost(self, lost: Iterable[TopicPartition]) -> None:
        self._lose([to_partition(partition) for partition in lost])
        # kafka-python would go on to claim these partitions when it joins again, and the group's leader would
        # believe it and take them from the member that has them by now.
        self._assignor.member_assignment = None

    def _lose(self, partitions: Sequence[Partition]) -> None:
        self._membership.lose(partitions)
        self._trials.forget(partitions)

    def _commit_owed(self) -> None:
        owed = self._membership.owed(self.assignment())
        if not owed:
            return
        try:
            self._consumer.commit(self.to_commit(owed), timeout_ms=COMMIT_TIMEOUT_MS)
        except NOT_A_MEMBER as error:
            # Either the partitions go to another member, which gets these frames again, or we keep them,
            # and the next poll or commit settles what is owed.
            log.info("commit put off by a rebalance", error=type(error).__name__, partitions=len(owed))
        except (KafkaError, OSError, RuntimeError) as error:
            raise TransportError(f"committing offsets of {self._topic}: {type(error).__name__}: {error}") from error
        else:
            self._membership.settle(owed)
            self._trials.settle(owed)

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
