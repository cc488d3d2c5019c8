"""Partitions from which a member does not fetch, though it owns them."""

from collections.abc import Callable, Iterable

from kafka import KafkaConsumer, TopicPartition

from qc_worker.domain.frame import Partition
from qc_worker.transport.kafka.records import to_partition


class FetchPauses:
    """All partitions while paused; those held back, while suspects of others are tried one at a time.

    `open_consumer` returns the open consumer or raises TransportError. Each method stores what is wanted before it
    calls that, so that a consumer opened later is paused as well.
    """

    def __init__(self, open_consumer: Callable[[], KafkaConsumer]) -> None:
        self._open_consumer = open_consumer
        self._held_back: frozenset[Partition] = frozenset()
        self.is_paused = False

    def pause(self) -> None:
        """Fetch from no partition."""
        self.is_paused = True
        consumer = self._open_consumer()
        consumer.pause(*consumer.assignment())

    def resume(self) -> None:
        """Fetch again from all partitions that are not held back."""
        self.is_paused = False
        self._resume()

    def hold_back(self, partitions: frozenset[Partition]) -> None:
        """Fetch nothing of these, and again of those held back before."""
        if partitions == self._held_back:
            return
        self._held_back = partitions
        consumer = self._open_consumer()
        consumer.pause(*filter(self._is_held_back, consumer.assignment()))
        if not self.is_paused:
            self._resume()

    def pause_assigned(self, consumer: KafkaConsumer, assigned: Iterable[TopicPartition]) -> None:
        """Pause partitions that arrive while all are paused; nothing of them has been fetched yet."""
        if self.is_paused:
            consumer.pause(*assigned)

    def _resume(self) -> None:
        consumer = self._open_consumer()
        consumer.resume(*(one for one in consumer.assignment() if not self._is_held_back(one)))

    def _is_held_back(self, partition: TopicPartition) -> bool:
        return to_partition(partition) in self._held_back
