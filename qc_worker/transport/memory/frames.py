"""Frames on the in-memory broker: the source, the reader and the outbox."""

from collections.abc import Mapping, Sequence

from qc_worker.domain.errors import TransportError
from qc_worker.domain.frame import ImageMessage, Offsets, Partition, Position, Record
from qc_worker.transport.limits import MAX_RECORD_BYTES
from qc_worker.transport.memory.broker import MemoryBroker
from qc_worker.transport.outgoing import OutgoingRecord


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
        """Take the partitions that the group has assigned (see `broker.Member`)."""
        self._lost |= self._next.keys() - starts.keys()
        self._next = {partition: self._next.get(partition, start) for partition, start in starts.items()}

    def lose_membership(self) -> None:
        """Lose all partitions, as a silent member does, then rejoin and start again from the commits."""
        self._group.leave(self)
        self._lost |= self._next.keys()
        self._next = {}
        self._group.join(self, self._topic)

    def _check(self) -> None:
        self._broker.check()
        if not self._started:
            raise TransportError("the frame source is not started, or closed")


class MemoryFrameReader:
    """Reads records by position from the in-memory broker."""

    def __init__(self, broker: MemoryBroker) -> None:
        self._broker = broker

    def read(self, position: Position) -> Record | None:
        if position.topic_partition not in self._broker.partitions(position.topic):
            return None
        records = self._broker.read(position.topic_partition, position.offset, max_records=1)
        return records[0] if records and records[0].position == position else None

    def close(self) -> None:
        pass


class MemoryFrameReceipt:
    """The receipt for a frame that the in-memory broker has already."""

    def __init__(self, position: Position) -> None:
        self._position = position

    def position(self, *, timeout_s: float) -> Position:  # noqa: ARG002  (there is nothing to wait for)
        return self._position


class MemoryFrameOutbox:
    """Appends each frame at once."""

    def __init__(self, broker: MemoryBroker, *, topic: str) -> None:
        self._broker = broker
        self._topic = topic

    def send(self, message: ImageMessage, *, partition: int | None = None) -> MemoryFrameReceipt:
        record = OutgoingRecord(self._topic, message.key, message.content, message.headers)
        if len(record.content) > MAX_RECORD_BYTES:
            raise TransportError(f"sending to {self._topic}: {len(record.content)} bytes are more than a topic takes")
        return MemoryFrameReceipt(self._broker.append(record, partition=partition))

    def flush(self) -> None:
        self._broker.check()

    def close(self) -> None:
        pass
