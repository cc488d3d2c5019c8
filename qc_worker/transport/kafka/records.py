"""Converts between kafka-python's structures and domain values."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

from kafka import OffsetAndMetadata, TopicPartition

from qc_worker.domain.frame import Offsets, Partition, Position, Record
from qc_worker.transport.kafka_fixes.unreadable_records import why_unreadable

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def to_record(polled: Any) -> Record:
    """Translate a ConsumerRecord; a tombstone's missing value becomes empty content."""
    unreadable = why_unreadable(polled.headers)
    return Record(
        position=Position(polled.topic, polled.partition, polled.offset),
        key=polled.key,
        content=polled.value or b"",
        headers=() if unreadable else tuple((name, raw or b"") for name, raw in polled.headers or ()),
        appended_at=appended_at(polled.timestamp),
        unreadable=unreadable,
    )


def appended_at(timestamp_ms: int) -> datetime:
    """Convert the record's time; producers may claim any 64-bit number, and those beyond the calendar become 1970."""
    try:
        return _EPOCH + timedelta(milliseconds=max(timestamp_ms, 0))
    except OverflowError:
        return _EPOCH


def to_partition(topic_partition: TopicPartition) -> Partition:
    return Partition(topic_partition.topic, topic_partition.partition)


def to_topic_partition(partition: Partition) -> TopicPartition:
    return TopicPartition(partition.topic, partition.partition)


def to_commit(
    offsets: Offsets, notes: Mapping[Partition, str] = MappingProxyType({})
) -> dict[TopicPartition, OffsetAndMetadata]:
    """Build the offsets with their notes as kafka-python takes them; -1: the leader epoch is not known."""
    return {to_topic_partition(p): OffsetAndMetadata(offset, notes.get(p, ""), -1) for p, offset in offsets.items()}


def first_offsets(records: Sequence[Record]) -> dict[Partition, int]:
    """Return the first offset of each partition; the records must be in offset order within each."""
    first: dict[Partition, int] = {}
    for record in records:
        first.setdefault(record.position.topic_partition, record.position.offset)
    return first
