"""A broker inside the process: topics, partitions and consumer groups for tests and for running without Kafka."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from threading import Condition, RLock
from typing import Protocol

from kafka.partitioner.default import murmur2

from qc_worker.domain.errors import TransportError
from qc_worker.domain.frame import Offsets, Partition, Position, Record
from qc_worker.transport.outgoing import OutgoingRecord


class Member(Protocol):
    """A consumer in a group, as its group sees it."""

    def assign(self, starts: Mapping[Partition, int]) -> None:
        """Assign these partitions to the member; those it had keep their place, others start as given."""
        ...


class MemoryBroker:
    """Thread-safe; `available = False` stands for a broker that is down."""

    def __init__(self, *, partitions: int = 2, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.available = True
        self._default_partitions = partitions
        self._now = now
        self._changed = Condition(RLock())
        self._topics: dict[str, list[list[Record]]] = {}
        self._first_offsets: dict[Partition, int] = {}
        self._groups: dict[str, MemoryGroup] = {}

    def create_topic(self, topic: str, *, partitions: int) -> None:
        with self._changed:
            self._topics.setdefault(topic, [[] for _ in range(partitions)])

    def has_topic(self, topic: str) -> bool:
        with self._changed:
            return topic in self._topics

    def partitions(self, topic: str) -> list[Partition]:
        with self._changed:
            return [Partition(topic, number) for number in range(len(self._logs(topic)))]

    def append(self, record: OutgoingRecord, *, partition: int | None = None) -> Position:
        """Append to the partition given, or to the one that Kafka would choose for the key."""
        with self._changed:
            self._check()
            logs = self._logs(record.topic)
            number = partition if partition is not None else partition_of(record.key, len(logs))
            position = Position(record.topic, number, len(logs[number]))
            logs[number].append(Record(position, record.key, record.content, tuple(record.headers), self._now()))
            self._changed.notify_all()
            return position

    def read(self, partition: Partition, offset: int, *, max_records: int) -> list[Record]:
        """Return up to `max_records` records from `offset` on, those removed left out."""
        with self._changed:
            self._check()
            first = max(offset, self._first_offsets.get(partition, 0))
            return self._logs(partition.topic)[partition.partition][first : first + max_records]

    def read_all(self, partition: Partition, offset: int) -> list[Record]:
        """Return all records from `offset` on, those removed left out."""
        return self.read(partition, offset, max_records=self.end(partition))

    def oldest(self, partition: Partition) -> int:
        """Return the first offset that retention has left."""
        with self._changed:
            return self._first_offsets.get(partition, 0)

    def end(self, partition: Partition) -> int:
        """Return the high watermark."""
        with self._changed:
            return len(self._logs(partition.topic)[partition.partition])

    def remove_before(self, position: Position) -> None:
        """Remove older records, as retention does."""
        with self._changed:
            self._first_offsets[position.topic_partition] = position.offset

    def wait_for_change(self, *, timeout_s: float, until: Callable[[], bool]) -> None:
        """Block until `until` holds, `timeout_s` at the longest."""
        with self._changed:
            self._changed.wait_for(until, timeout=timeout_s)

    def wake(self) -> None:
        """Have all that wait for a change look again."""
        with self._changed:
            self._changed.notify_all()

    def group(self, name: str) -> "MemoryGroup":
        with self._changed:
            return self._groups.setdefault(name, MemoryGroup(self, self._changed))

    def check(self) -> None:
        """Raise TransportError if the broker is down."""
        with self._changed:
            self._check()

    def _check(self) -> None:
        if not self.available:
            raise TransportError("the in-memory broker is down")

    def _logs(self, topic: str) -> list[list[Record]]:
        return self._topics.setdefault(topic, [[] for _ in range(self._default_partitions)])


class MemoryGroup:
    """Members of a consumer group and the offsets that they committed."""

    def __init__(self, broker: MemoryBroker, lock: Condition) -> None:
        self._broker = broker
        self._lock = lock
        self._members: dict[Member, str] = {}
        self._committed: dict[Partition, int] = {}

    def join(self, member: Member, topic: str) -> None:
        with self._lock:
            self._members[member] = topic
            self._rebalance(topic)

    def leave(self, member: Member) -> None:
        with self._lock:
            topic = self._members.pop(member, None)
            if topic is not None:
                self._rebalance(topic)

    def commit(self, offsets: Offsets) -> None:
        with self._lock:
            self._broker.check()
            self._committed.update(offsets)

    def committed(self) -> dict[Partition, int]:
        with self._lock:
            return dict(self._committed)

    def size(self) -> int:
        """Return the number of members."""
        with self._lock:
            return len(self._members)

    def _rebalance(self, topic: str) -> None:
        members = [member for member, subscribed in self._members.items() if subscribed == topic]
        partitions = self._broker.partitions(topic)
        for index, member in enumerate(members):
            # Every n-th partition: a newcomer takes some from each, as the sticky assignor would have it.
            share = partitions[index :: len(members)]
            member.assign({partition: self._committed.get(partition, 0) for partition in share})
        self._lock.notify_all()


def partition_of(key: bytes | None, partitions: int) -> int:
    """Choose a partition as Kafka's default partitioner does; a record without a key goes to the first."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions if key is not None else 0
