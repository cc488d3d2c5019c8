"""A real fetcher of kafka-python, and answers of a broker that it has received."""

from types import SimpleNamespace
from typing import Any

from kafka import TopicPartition
from kafka.consumer.fetcher import Fetcher
from kafka.consumer.subscription_state import SubscriptionState
from kafka.record.default_records import DefaultRecordBatchBuilder
from kafka.record.memory_records import MemoryRecords

FIRST, SECOND = TopicPartition("images", 0), TopicPartition("images", 1)
RECORDS = 3


class ReceivedFetches:
    """Fetches records of two partitions without a network."""

    def __init__(self) -> None:
        self.subscriptions = SubscriptionState()
        self.subscriptions.assign_from_user([FIRST, SECOND])
        for partition in (FIRST, SECOND):
            self.subscriptions.seek(partition, 0)
        self._fetcher: Any = Fetcher(SimpleNamespace(_manager=SimpleNamespace(_net=None)), self.subscriptions)
        self._fetcher._parse_fetched_data = self._parsed

    def receive(self, partition: TopicPartition) -> None:
        """Let a broker's answer with RECORDS records of a partition arrive."""
        self._fetcher._completed_fetches.append(SimpleNamespace(topic_partition=partition, fetched_offset=0))

    def poll(self, max_records: int = 100) -> tuple[list[tuple[int, int]], bool]:
        """Return partition and offset of the records that come, and whether something is left to return."""
        records, is_partial = self._fetcher.fetched_records(max_records)
        return [(one.partition, one.offset) for batch in records.values() for one in batch], is_partial

    def _parsed(self, completion: Any) -> Any:
        builder = DefaultRecordBatchBuilder(2, 0, False, -1, -1, -1, 1_000_000)
        for offset in range(RECORDS):
            builder.append(offset, 1_700_000_000_000, None, b"frame", [])
        self.subscriptions.assignment[completion.topic_partition].drop_pending_record_batch = False
        return Fetcher.PartitionRecords(0, completion.topic_partition, MemoryRecords(bytes(builder.build())))
