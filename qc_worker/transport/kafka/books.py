"""Reads whole topics from offset to offset without a group, in bounded memory: for audits."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from time import monotonic
from typing import Any

from kafka import KafkaConsumer, TopicPartition

from qc_worker.domain.errors import TransportError
from qc_worker.domain.frame import Offsets, Partition, Record
from qc_worker.transport.kafka.connecting.access import KafkaAccess, open_client, transport_errors
from qc_worker.transport.kafka.groupless import POLL_MS, READ_TIMEOUT_S, Reader, partitions_of, poll_until
from qc_worker.transport.kafka.records import appended_at, to_partition, to_record, to_topic_partition
from qc_worker.transport.limits import MAX_DEAD_LETTER_BYTES

OPEN_TRANSACTION_TIMEOUT_S = 40.0
"""A worker's transaction lasts at most 20 s; every 10 s the broker looks for overdue ones, and aborts them."""


class KafkaBooks(Reader):
    """Reads committed records only: those of an aborted transaction are left out."""

    def __init__(self, access: KafkaAccess) -> None:
        super().__init__(
            access,
            # Bounds the memory in use, whatever the topics hold.
            max_partition_fetch_bytes=MAX_DEAD_LETTER_BYTES,
            fetch_max_bytes=2 * MAX_DEAD_LETTER_BYTES,
            # At the end of a partition the broker should answer at once, not wait for more.
            fetch_max_wait_ms=50,
            metrics_enabled=False,
        )

    def oldest(self, topic: str) -> dict[Partition, int]:
        with transport_errors(f"asking for the first offsets of {topic}"):
            return _by_partition(self._reader().beginning_offsets(self._partitions(topic)))

    def ends(self, topic: str) -> dict[Partition, int]:
        # The high watermarks, which end offsets need not be (see `groupless`).
        consumer = self._assigned(dict.fromkeys(self._partitions(topic)))
        with transport_errors(f"asking for the ends of {topic}"):
            poll_until(consumer, lambda: all(consumer.highwater(p) is not None for p in consumer.assignment()))
            return {to_partition(p): consumer.highwater(p) for p in consumer.assignment()}

    def at(self, topic: str, time: datetime) -> dict[Partition, int]:
        found = self._found_at(topic, time)
        ends = self.ends(topic) if None in found.values() else {}
        return {p: ends[p] if offset is None else offset.offset for p, offset in found.items()}

    def oldest_times(self, topic: str) -> dict[Partition, datetime]:
        oldest = self.oldest(topic)
        found = self._found_at(topic, datetime.fromtimestamp(0, UTC))
        return {p: appended_at(at.timestamp) for p, at in found.items() if at is not None and oldest[p] > 0}

    def committed(self, topic: str, group: str) -> dict[Partition, int]:
        partitions = self._partitions(topic)
        consumer = open_client(KafkaConsumer, self._access, self._connections, group_id=group, enable_auto_commit=False)
        with transport_errors(f"asking for the offsets of group {group}"):
            try:
                timeout_ms = self._access.request_timeout_ms
                offsets = {to_partition(p): consumer.committed(p, timeout_ms=timeout_ms) for p in partitions}
            finally:
                consumer.close(autocommit=False)
        return {partition: offset for partition, offset in offsets.items() if offset is not None}

    def await_readable(self, topic: str) -> None:
        ends = {to_topic_partition(partition): end for partition, end in self.ends(topic).items()}
        consumer, deadline_s = self._assigned(dict.fromkeys(ends)), monotonic() + OPEN_TRANSACTION_TIMEOUT_S
        # By position, because Tansu has no last stable offset; records polled on the way are dropped.
        while hidden := _hidden(consumer, ends):
            if monotonic() > deadline_s:
                raise self._hidden_for_long(hidden[0])
            with transport_errors(f"waiting for open transactions on {topic}"):
                consumer.poll(timeout_ms=POLL_MS)

    def read(self, starts: Offsets) -> Iterator[Record]:
        consumer = self._assigned({to_topic_partition(partition): offset for partition, offset in starts.items()})
        with transport_errors("asking for the ends"):
            ends = _Ends(consumer, consumer.end_offsets(list(consumer.assignment())))
        polled: Mapping[TopicPartition, list[Any]] = {}
        while not ends.reached(polled):
            with transport_errors(f"reading {', '.join(sorted({partition.topic for partition in starts}))}"):
                polled = consumer.poll(timeout_ms=POLL_MS)
            for records in polled.values():
                yield from map(to_record, records)

    def _found_at(self, topic: str, time: datetime) -> dict[Partition, Any]:
        """Find offset and time of each partition's first record that is not older; None if there is none."""
        since_ms = max(0, int(time.timestamp() * 1000))
        with transport_errors(f"asking for the offsets of {topic} by time"):
            found = self._reader().offsets_for_times(dict.fromkeys(self._partitions(topic), since_ms))
        # Tansu has an offset even where it found no record, but then no time.
        return {to_partition(p): at if at is not None and at.timestamp >= since_ms else None for p, at in found.items()}

    def _hidden_for_long(self, partition: TopicPartition) -> TransportError:
        # It may as well be the broker that cannot be reached.
        with transport_errors(f"waiting for open transactions on {partition.topic}"):
            stable = self._reader().end_offsets([partition])[partition]
        return TransportError(
            f"an open transaction hides {partition.topic}:{partition.partition} from offset {stable} on, "
            f"for more than {OPEN_TRANSACTION_TIMEOUT_S:.0f} s; "
            "find its producer with `kafka-transactions.sh describe-producers`"
        )

    def _partitions(self, topic: str) -> list[TopicPartition]:
        return partitions_of(self._reader(), topic)

    def _assigned(self, starts: Mapping[TopicPartition, int | None]) -> KafkaConsumer:
        """Assign the partitions and seek to `starts`; None: to the end."""
        consumer = self._reader()
        with transport_errors("seeking"):
            # Assigned again; otherwise the high watermarks of the last reading would count.
            consumer.unsubscribe()
            consumer.assign(list(starts))
            ends = consumer.end_offsets([partition for partition, start in starts.items() if start is None])
            for partition, start in starts.items():
                consumer.seek(partition, ends[partition] if start is None else start)
        return consumer


class _Ends:
    """The end of one reading, though more may be appended meanwhile.

    It is the high watermark of the first fetch, or, if an open transaction keeps that out of reach, the last stable
    offset once nothing more comes.
    """

    def __init__(self, consumer: KafkaConsumer, stable: Mapping[TopicPartition, int]) -> None:
        self._consumer = consumer
        self._stable = stable
        self._left = set(stable)
        self._ends: dict[TopicPartition, int] = {}
        self._moved_at_s = monotonic()
        self._moved_to: dict[TopicPartition, int] = {}

    def reached(self, polled: Mapping[TopicPartition, list[Any]]) -> bool:
        """Return True once all partitions are read; `polled`: records of the last poll. Raises TransportError."""
        with transport_errors("reading"):
            positions = {p: self._consumer.position(p, timeout_ms=0) for p in self._left}
            for partition, position in positions.items():
                if self._is_reached(partition, position, idle=not polled):
                    self._left.discard(partition)
                    self._consumer.pause(partition)
        self._check_progress(positions)
        return not self._left

    def _is_reached(self, partition: TopicPartition, position: int | None, *, idle: bool) -> bool:
        highwater = self._consumer.highwater(partition)
        if highwater is None or position is None:
            return False  # nothing fetched yet
        end = self._ends.setdefault(partition, highwater)
        return position >= end or (idle and position >= self._stable[partition])

    def _check_progress(self, positions: dict[TopicPartition, int]) -> None:
        if positions != self._moved_to:
            self._moved_to, self._moved_at_s = positions, monotonic()
        elif monotonic() - self._moved_at_s > READ_TIMEOUT_S:
            raise TransportError(f"timed out: reading made no progress for {READ_TIMEOUT_S:.0f} s")


def _hidden(consumer: KafkaConsumer, ends: Mapping[TopicPartition, int]) -> list[TopicPartition]:
    """List the partitions that have records before their end that have not come yet."""
    with transport_errors("asking for positions"):
        positions = {partition: consumer.position(partition, timeout_ms=0) for partition in ends}
    return [partition for partition, position in positions.items() if position is None or position < ends[partition]]


def _by_partition(offsets: Mapping[TopicPartition, Any]) -> dict[Partition, Any]:
    return {to_partition(partition): offset for partition, offset in offsets.items()}
