"""Every port on the in-memory broker: the siblings of the Kafka and Redis adapters, under the same contract tests."""

from collections.abc import Callable, Mapping, Sequence
from time import monotonic

import structlog

from qc_worker.domain.errors import TransportError
from qc_worker.domain.feedback import Feedback
from qc_worker.domain.frame import Offsets, Partition, Position, Record
from qc_worker.domain.inspection import Inspection, Outcome
from qc_worker.domain.release import Release
from qc_worker.ports import HeatmapEntry
from qc_worker.transport.kafka.recent_inspections import of_line
from qc_worker.transport.memory.broker import MemoryBroker
from qc_worker.transport.outgoing import OutgoingRecord, outgoing_records
from qc_worker.wire.images import ImageMessage
from qc_worker.wire.json_types import decode_feedback, decode_release, encode_feedback, encode_release

log = structlog.get_logger()


class MemoryFrameSource:
    """A member of a group on the in-memory broker."""

    def __init__(self, broker: MemoryBroker, *, topic: str, group: str) -> None:
        self._broker = broker
        self._topic = topic
        self._group = broker.group(group)
        self._next: dict[Partition, int] = {}
        self._lost: set[Partition] = set()
        self._paused = False
        self._started = False

    def start(self) -> None:
        self._broker.check()
        self._started = True
        self._group.join(self, self._topic)

    def poll(self, *, timeout_s: float, max_records: int) -> Sequence[Record]:
        self._check()
        self._broker.wait_for_change(timeout_s=timeout_s, until=lambda: not self._paused and self.lag_frames() > 0)
        records: list[Record] = []
        for partition in [] if self._paused else sorted(self._next):
            taken = self._broker.read(partition, self._next[partition], max_records=max_records - len(records))
            records += taken
            if taken:
                self._next[partition] = taken[-1].position.offset + 1
        return records

    def take_lost(self) -> frozenset[Partition]:
        lost, self._lost = frozenset(self._lost), set()
        return lost

    def has_suspects(self) -> bool:
        return False  # what this process dies of takes the broker along

    def pause(self) -> None:
        self._paused = True

    def resume(self) -> None:
        self._paused = False

    def commit(self, offsets: Offsets) -> None:
        self._check()
        self._group.commit({partition: offset for partition, offset in offsets.items() if partition in self._next})

    def assignment(self) -> frozenset[Partition]:
        return frozenset(self._next)

    def lag_frames(self) -> int:
        return sum(self._broker.end(partition) - offset for partition, offset in self._next.items())

    def reachable(self) -> bool:
        return self._started and self._broker.available

    def close(self, *, in_order: bool = True) -> None:  # noqa: ARG002  (nobody is suspected here)
        self._started = False
        self._group.leave(self)
        self._next = {}

    def assign(self, starts: Mapping[Partition, int]) -> None:
        """The group's decision (see `memory_broker.Member`)."""
        self._lost |= self._next.keys() - starts.keys()
        self._next = {partition: self._next.get(partition, start) for partition, start in starts.items()}

    def lose_membership(self) -> None:
        """What happens to a member that was silent for too long: all is lost, then given again from the commits."""
        self._group.leave(self)
        self._lost |= self._next.keys()
        self._next = {}
        self._group.join(self, self._topic)

    def _check(self) -> None:
        self._broker.check()
        if not self._started:
            raise TransportError("the frame source is not started, or closed")


class MemorySink:
    """All or nothing: if the broker is down nothing is appended."""

    def __init__(
        self, broker: MemoryBroker, *, results_topic: str, dead_letter_topic: str, commit: Callable[[Offsets], None]
    ) -> None:
        self._broker = broker
        self._topics = {"results_topic": results_topic, "dead_letter_topic": dead_letter_topic}
        self._commit = commit

    def start(self) -> None:
        self._broker.check()

    def publish(self, outcomes: Sequence[Outcome], offsets: Offsets) -> None:
        for outcome in outcomes:
            for record in outgoing_records(outcome, **self._topics):
                self._broker.append(record)
        self._commit(offsets)

    def close(self) -> None:
        pass


class MemoryReleaseLog:
    """The topic `models` on the in-memory broker."""

    def __init__(self, broker: MemoryBroker, *, topic: str) -> None:
        self._broker = broker
        self._topic = topic
        self._partition = Partition(topic, 0)
        self._next = 0
        self.refused = 0

    def announce(self, release: Release) -> None:
        record = OutgoingRecord(self._topic, release.line.encode(), encode_release(release), [])
        self._broker.append(record, partition=0)

    def read_all(self) -> dict[str, Release]:
        self._next = 0
        newest: dict[str, Release] = {}
        for record in self._new_records():
            release = self._decoded(record)
            if release is not None:
                newest[release.line] = release
            elif record.key is not None and not record.content:
                newest.pop(record.key.decode(errors="replace"), None)
        return newest

    def poll(self, *, timeout_s: float) -> Sequence[Release]:
        self._broker.check()
        self._broker.wait_for_change(timeout_s=timeout_s, until=lambda: self._broker.end(self._partition) > self._next)
        return [release for release in map(self._decoded, self._new_records()) if release is not None]

    def close(self) -> None:
        pass

    def _new_records(self) -> list[Record]:
        records = self._broker.read(self._partition, self._next, max_records=1_000_000)
        self._next += len(records)
        return records

    def _decoded(self, record: Record) -> Release | None:
        if not record.content:
            return None
        try:
            return decode_release(record.content)
        except ValueError as error:
            self.refused += 1
            log.warning("release refused", reason=str(error), position=str(record.position))
            return None


class MemoryFeedbackSource:
    """The topic `feedback`, remembered by group."""

    def __init__(self, broker: MemoryBroker, *, topic: str, group: str = "qc-trainer") -> None:
        self._source = MemoryFrameSource(broker, topic=topic, group=group)
        self._polled: dict[Partition, int] = {}
        self._source.start()

    def poll(self, *, timeout_s: float) -> Sequence[Feedback]:
        records = self._source.poll(timeout_s=timeout_s, max_records=500)
        self._polled.update({record.position.topic_partition: record.position.offset + 1 for record in records})
        return [feedback for feedback in map(_decoded_feedback, records) if feedback is not None]

    def commit(self) -> None:
        self._source.commit(self._polled)
        self._polled = {}

    def close(self) -> None:
        self._source.close()


class MemoryFrameReader:
    """Records by position from the in-memory broker."""

    def __init__(self, broker: MemoryBroker) -> None:
        self._broker = broker

    def read(self, position: Position) -> Record | None:
        if position.topic_partition not in self._broker.partitions(position.topic):
            return None
        records = self._broker.read(position.topic_partition, position.offset, max_records=1)
        return records[0] if records and records[0].position == position else None

    def close(self) -> None:
        pass


class MemoryRecentInspections:
    """The newest inspections on the in-memory broker."""

    def __init__(self, broker: MemoryBroker, *, topic: str) -> None:
        self._broker = broker
        self._topic = topic

    def last(self, line: str, count: int) -> list[Inspection]:
        partitions = self._broker.partitions(self._topic)
        records = [record for p in partitions for record in self._broker.read(p, 0, max_records=self._broker.end(p))]
        records.sort(key=lambda record: record.appended_at)
        found = [inspection for record in records if (inspection := of_line(record, line)) is not None]
        return found[-count:]

    def close(self) -> None:
        pass


class MemoryHeatmapCache:
    """`away = True` stands for a cache that is down."""

    def __init__(self, *, ttl_s: int, clock: Callable[[], float] = monotonic) -> None:
        self.away = False
        self._ttl_s = ttl_s
        self._clock = clock
        self._entries: dict[str, tuple[float, HeatmapEntry]] = {}

    def put(self, entries: Sequence[HeatmapEntry]) -> bool:
        if self.away:
            return False
        expires_at_s = self._clock() + self._ttl_s
        self._entries.update({entry.key: (expires_at_s, entry) for entry in entries})
        return True

    def get(self, key: str) -> HeatmapEntry | None:
        expires_at_s, entry = self._entries.get(key, (0.0, None))
        return None if self.away or self._clock() >= expires_at_s else entry

    def available(self) -> bool:
        return not self.away

    def close(self) -> None:
        pass


def send_frame(broker: MemoryBroker, topic: str, message: ImageMessage, *, partition: int | None = None) -> Position:
    """What a camera does."""
    return broker.append(OutgoingRecord(topic, message.key, message.content, message.headers), partition=partition)


def send_feedback(broker: MemoryBroker, topic: str, feedback: Feedback) -> Position:
    """What a dashboard does."""
    return broker.append(OutgoingRecord(topic, feedback.line.encode(), encode_feedback(feedback), []))


def _decoded_feedback(record: Record) -> Feedback | None:
    try:
        return decode_feedback(record.content)
    except ValueError as error:
        log.warning("feedback refused", reason=str(error), position=str(record.position))
        return None
