"""Frames from `images` for a member of the consumer group."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any
from uuid import uuid4

import structlog
from kafka import KafkaConsumer, OffsetAndMetadata, TopicPartition
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.errors import CorruptRecordError, KafkaError

from qc_worker.domain.errors import GroupRebalancing, TransportError
from qc_worker.domain.frame import Offsets, Partition, Record
from qc_worker.transport.kafka.connecting.access import Connections, KafkaAccess, open_client, transport_errors
from qc_worker.transport.kafka.group.coordinator_watch import CoordinatorWatch, coordinator_connected
from qc_worker.transport.kafka.group.crash_notes import GroupNotes, StalePosition
from qc_worker.transport.kafka.group.group_member import (
    CLOSE_TIMEOUT_MS,
    COMMIT_TIMEOUT_MS,
    NOT_A_MEMBER,
    GroupMembership,
    RebalanceListener,
    forget_asked_offsets,
    member_config,
)
from qc_worker.transport.kafka.group.suspects import Trials
from qc_worker.transport.kafka.records import first_offsets, to_commit, to_partition, to_record, to_topic_partition
from qc_worker.transport.kafka_fixes.finished_join import poll_timeout_s

log = structlog.get_logger()


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
        metadata_max_age_ms: int = 30_000,
        max_in_flight_frames: int = 128,
    ) -> None:
        self._access = access
        self._topic = topic
        self._trials = Trials(f"qc-worker-{uuid4()}")
        self._notes = GroupNotes(access, self._trials, group=group, reach=max_in_flight_frames)
        self._config = {
            **member_config(group, max_frame_bytes, session_timeout_ms, metadata_max_age_ms),
            "client_id": self._trials.worker,
            "max_poll_interval_ms": max_poll_interval_ms,
        }
        self._assignor = CooperativeStickyAssignor()
        self._connections = Connections()
        self._paused = False
        self._held_back: frozenset[Partition] = frozenset()
        self._membership = GroupMembership()
        self._watch = CoordinatorWatch(patience_s=access.request_timeout_ms / 1000)
        self._open: KafkaConsumer | None = None
        self._is_broken = False

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
        self._open, self._is_broken = consumer, False
        consumer.subscribe([self._topic], listener=RebalanceListener(self))

    def poll(self, *, timeout_s: float, max_records: int) -> Sequence[Record]:
        if self._is_broken:
            self.start()
        # First, and not after the poll: a failure there would throw away records that count as polled.
        self._commit_owed()
        self._hold_back(self._trials.cleared())
        with transport_errors(f"polling {self._topic}"):
            polled = self._poll(timeout_s, max_records)
        records = [to_record(record) for records in polled.values() for record in records]
        self._watch.look(is_there=bool(records) or coordinator_connected(self._consumer))
        try:
            self._notes.begin(self._consumer, records)
        except StalePosition as stale:
            self._unpoll(records)
            self._consumer.seek(to_topic_partition(stale.partition), stale.committed)
            raise
        except TransportError:
            self._unpoll(records)
            raise
        if not self._trials.under_suspicion:
            return records
        if not records and not self._paused:
            self._notes.absolve(self._consumer)
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
        self._resume()

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

    def doubt(self, partitions: Collection[Partition]) -> None:
        """A transaction may or may not have committed their offsets."""
        self._trials.doubt(partitions)

    def committed(self, partitions: Collection[Partition]) -> dict[Partition, int]:
        """Committed offsets, once no transaction on them is open any more. Raises TransportError."""
        with transport_errors(f"asking for committed offsets of {self._topic}"):
            forget_asked_offsets(self._consumer)
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

    def close(self, *, in_order: bool = True) -> None:
        self._is_broken = False
        if self._open is None:
            return
        if in_order and self.reachable():  # whoever stops us does not wait for a broker that is away
            with suppress(TransportError):
                self._commit_owed()
            self._notes.take_away(self._open, self.assignment())
        self._leave()

    def on_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        if self._open is None:
            return
        forget_asked_offsets(self._open)
        # A partition that arrives while we hold back must be held back too; nothing of it has been fetched yet.
        if self._paused:
            self._open.pause(*assigned)

    def on_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        self._lose(revoked)

    def on_lost(self, lost: Iterable[TopicPartition]) -> None:
        self._lose(lost)
        # kafka-python would go on to claim these partitions when it joins again, and the group's leader would
        # believe it and take them from the member that has them by now.
        self._assignor.member_assignment = None

    def _poll(self, timeout_s: float, max_records: int) -> Mapping[TopicPartition, Sequence[Any]]:
        try:
            polled: Mapping[TopicPartition, Sequence[Any]] = self._consumer.poll(
                timeout_ms=int(poll_timeout_s(self._consumer, timeout_s) * 1000), max_records=max_records
            )
        except CorruptRecordError:
            # Polled again, kafka-python would spin on the broken batch without an end: only a new consumer helps, which
            # the next poll opens, or the one after that if no broker answers. Another member may have our partitions in
            # between, so what is in flight is void. Our notes stay: whoever finds them sees by our name in the group
            # that we live.
            self.on_lost(self._consumer.assignment())
            self._leave()
            self._is_broken = True
            raise
        return polled

    def _hold_back(self, partitions: frozenset[Partition]) -> None:
        """Fetch nothing of these, and again of those held back before."""
        if partitions == self._held_back:
            return
        self._held_back = partitions
        self._consumer.pause(*filter(self._is_held_back, self._consumer.assignment()))
        if not self._paused:
            self._resume()

    def _resume(self) -> None:
        self._consumer.resume(*(one for one in self._consumer.assignment() if not self._is_held_back(one)))

    def _is_held_back(self, partition: TopicPartition) -> bool:
        return to_partition(partition) in self._held_back

    def _leave(self) -> None:
        consumer, self._open = self._consumer, None
        try:
            consumer.close(autocommit=False, timeout_ms=CLOSE_TIMEOUT_MS)
        except (KafkaError, OSError, RuntimeError) as error:
            # The group notices by the session timeout what it could not be told.
            log.warning("leaving the consumer group failed", error=str(error))
        finally:
            self._connections.close()

    def _unpoll(self, records: Sequence[Record]) -> None:
        """Let the next poll bring them again."""
        for partition, offset in first_offsets(records).items():
            with suppress(KafkaError, RuntimeError, AssertionError):  # taken away in the meantime
                self._consumer.seek(to_topic_partition(partition), offset)

    def _lose(self, taken: Iterable[TopicPartition]) -> None:
        partitions = [to_partition(partition) for partition in taken]
        self._membership.lose(partitions)
        self._trials.forget(partitions)

    def _commit_owed(self) -> None:
        owed = self._membership.owed(self.assignment())
        if not owed:
            return
        self._trials.doubt(owed)
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
