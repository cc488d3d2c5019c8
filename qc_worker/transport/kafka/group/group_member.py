"""One member of the consumer group: its consumer, its offsets to commit, and the crash notes that go with them."""

from collections.abc import Collection, Iterable
from contextlib import suppress
from enum import Enum, auto
from typing import Any
from uuid import uuid4

import structlog
from kafka import KafkaConsumer, OffsetAndMetadata, TopicPartition
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.errors import KafkaError

from qc_worker.domain.errors import GroupRebalancing, TransportError
from qc_worker.domain.frame import Offsets, Partition
from qc_worker.transport.kafka.connecting.access import Connections, KafkaAccess, open_client, transport_errors
from qc_worker.transport.kafka.group.coordinator_watch import CoordinatorWatch
from qc_worker.transport.kafka.group.crash_notes import CrashNotes
from qc_worker.transport.kafka.group.fetch_pauses import FetchPauses
from qc_worker.transport.kafka.group.ownership import CLOSE_TIMEOUT_MS, COMMIT_TIMEOUT_MS, NOT_A_MEMBER, Ownership
from qc_worker.transport.kafka.group.rebalance_listener import RebalanceListener
from qc_worker.transport.kafka.group.suspects import Suspects
from qc_worker.transport.kafka.records import to_commit, to_partition, to_topic_partition
from qc_worker.transport.kafka_fixes.private_api import coordinator_connected, forget_asked_offsets
from qc_worker.transport.limits import RECORD_HEADROOM_BYTES

log = structlog.get_logger()


class MemberState(Enum):
    """Decides what a poll does."""

    CLOSED = auto()
    """Not opened yet, or closed: a poll is an error."""
    OPEN = auto()
    """A consumer is subscribed; polls join the group."""
    BROKEN = auto()
    """The consumer had to be thrown away; the next poll opens another."""


class GroupMember:
    """Held by the frame source and by the sink, so that frames are committed by the member that polled them.

    Used by one thread, apart from `reachable` and the callbacks of the group. Offsets are committed by hand only.
    """

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
        self.topic = topic
        self.suspects = Suspects(f"qc-worker-{uuid4()}")
        self.notes = CrashNotes(access, self.suspects, group=group, reach=max_in_flight_frames)
        self._config = {
            **member_config(group, max_frame_bytes, session_timeout_ms, metadata_max_age_ms),
            "client_id": self.suspects.worker,
            "max_poll_interval_ms": max_poll_interval_ms,
        }
        self._assignor = CooperativeStickyAssignor()
        self._connections = Connections()
        self._ownership = Ownership()
        self._listener = RebalanceListener(
            self._ownership, self.suspects, self._assignor, on_assigned=self._prepare_assigned
        )
        self.pauses = FetchPauses(lambda: self.consumer)
        self._watch = CoordinatorWatch(patience_s=access.request_timeout_ms / 1000)
        self._consumer: KafkaConsumer | None = None
        self.state = MemberState.CLOSED

    def open(self) -> None:
        """Connect and subscribe; the group is joined by the polls that follow. Raises TransportError."""
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
        self._consumer, self.state = consumer, MemberState.OPEN
        consumer.subscribe([self.topic], listener=self._listener)

    def close(self, *, in_order: bool) -> None:
        """Leave the group; in order: commit pending offsets and remove the crash notes first."""
        if self._consumer is None:
            self.state = MemberState.CLOSED  # a broken member must not come back
            return
        if in_order and self.reachable():  # a stop must not wait for a broker that is away
            with suppress(TransportError):
                self.commit_pending()
            self.notes.remove(self._consumer, self.assignment())
        self._disconnect(MemberState.CLOSED)

    def abandon(self) -> None:
        """Throw the consumer away: commit nothing, leave the crash notes, report all partitions as lost."""
        # Another member may have our partitions until we are back, so what is in flight is void. Our notes stay:
        # whoever finds them sees by our name in the group that we live.
        self._listener.on_partitions_lost(self.consumer.assignment())
        self._disconnect(MemberState.BROKEN)

    @property
    def consumer(self) -> KafkaConsumer:
        """The open consumer. Raises TransportError if there is none."""
        if self._consumer is None:
            raise TransportError("the frame source is not started, or closed")
        return self._consumer

    def assignment(self) -> frozenset[Partition]:
        """Return the partitions that this member owns now."""
        return frozenset(map(to_partition, self.consumer.assignment()))

    def take_lost(self) -> frozenset[Partition]:
        """Return the partitions lost since the last call."""
        return self._ownership.take_lost()

    def reachable(self) -> bool:
        """Return True if a connection to any broker stands; safe from any thread."""
        return self._consumer is not None and self._connections.reachable()

    def check_coordinator(self, *, has_records: bool) -> None:
        """Raise TransportError if the group's coordinator is away for too long; call once after each poll."""
        self._watch.look(is_there=has_records or coordinator_connected(self.consumer))

    def commit(self, offsets: Offsets) -> None:
        """Commit offsets with our crash notes; what a rebalance prevents stays pending. Raises TransportError."""
        self._ownership.add_pending(offsets)
        self.commit_pending()

    def commit_pending(self) -> None:
        """Commit the offsets of owned partitions that earlier commits have left pending. Raises TransportError."""
        pending = self._ownership.pending(self.assignment())
        if not pending:
            return
        self.mark_uncertain(pending)
        try:
            self.consumer.commit(self.offsets_with_notes(pending), timeout_ms=COMMIT_TIMEOUT_MS)
        except NOT_A_MEMBER as error:
            # Either the partitions go to another member, which gets these frames again, or we keep them,
            # and the next poll or commit retries.
            log.info("commit put off by a rebalance", error=type(error).__name__, partitions=len(pending))
        except (KafkaError, OSError, RuntimeError) as error:
            raise TransportError(f"committing offsets of {self.topic}: {type(error).__name__}: {error}") from error
        else:
            self.mark_committed(pending)

    def group_metadata(self, partitions: Collection[Partition]) -> Any:
        """Return kafka-python's ConsumerGroupMetadata, by which the broker refuses offsets of an outdated member.

        Raises GroupRebalancing unless all of `partitions` are ours, without a break since they were polled.
        """
        # Before looking at the partitions: one that is taken away after the look goes to another member by a later
        # generation only, and then the broker refuses this one.
        metadata = self.consumer.group_metadata()
        if metadata.generation_id < 0:  # the broker would take it for a consumer without any group, and accept
            raise GroupRebalancing("not a member of the consumer group at the moment")
        if not self._ownership.has_kept(partitions, self.assignment()):
            raise GroupRebalancing("partitions were taken away")
        return metadata

    def offsets_with_notes(self, offsets: Offsets) -> dict[TopicPartition, OffsetAndMetadata]:
        """Return offsets with our crash notes, as kafka-python commits them."""
        notes = {partition: self.suspects.note_at(partition, offset).encode() for partition, offset in offsets.items()}
        return to_commit(offsets, notes)

    def committed(self, partitions: Collection[Partition]) -> dict[Partition, int]:
        """Return committed offsets, once no transaction on them is open any more. Raises TransportError."""
        with transport_errors(f"asking for committed offsets of {self.topic}"):
            forget_asked_offsets(self.consumer)
            found = {
                partition: self.consumer.committed(to_topic_partition(partition), timeout_ms=COMMIT_TIMEOUT_MS)
                for partition in partitions
            }
        return {partition: offset for partition, offset in found.items() if offset is not None}

    def mark_committed(self, offsets: Offsets) -> None:
        """Record offsets as committed, with the notes that `offsets_with_notes` gave; `commit` does so itself."""
        self._ownership.mark_committed(offsets)
        self.suspects.mark_committed(offsets)

    def mark_uncertain(self, partitions: Iterable[Partition]) -> None:
        """Record that a commit may have succeeded or not; `close` commits no note there until it is known."""
        self.suspects.mark_uncertain(partitions)

    def _prepare_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        consumer = self._consumer
        if consumer is None:
            return
        forget_asked_offsets(consumer)
        self.pauses.pause_assigned(consumer, assigned)

    def _disconnect(self, state: MemberState) -> None:
        consumer = self.consumer
        self._consumer, self.state = None, state
        try:
            consumer.close(autocommit=False, timeout_ms=CLOSE_TIMEOUT_MS)
        except (KafkaError, OSError, RuntimeError) as error:
            # The group notices it by the session timeout.
            log.warning("leaving the consumer group failed", error=str(error))
        finally:
            self._connections.close()


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
