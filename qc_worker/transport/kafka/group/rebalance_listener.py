"""Receives the group's rebalances from kafka-python."""

from collections.abc import Callable, Iterable

from kafka import ConsumerRebalanceListener, TopicPartition
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor

from qc_worker.transport.kafka.group.ownership import Ownership
from qc_worker.transport.kafka.group.suspects import Suspects
from qc_worker.transport.kafka.records import to_partition


class RebalanceListener(ConsumerRebalanceListener):  # type: ignore[misc]  # kafka-python has no types
    """Updates what a member knows of its partitions; called on the loop that also sends heartbeats, so never blocks."""

    def __init__(
        self,
        ownership: Ownership,
        suspects: Suspects,
        assignor: CooperativeStickyAssignor,
        *,
        on_assigned: Callable[[Iterable[TopicPartition]], None],
    ) -> None:
        self._ownership = ownership
        self._suspects = suspects
        self._assignor = assignor
        self._on_assigned = on_assigned

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Pass on the partitions that came."""
        self._on_assigned(assigned)

    def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Drop partitions that go to another member."""
        self._lose(revoked)

    def on_partitions_lost(self, lost: Iterable[TopicPartition]) -> None:
        """Drop partitions that are gone already: the group went on without us."""
        self._lose(lost)
        # kafka-python would go on to claim these partitions when it joins again, and the group's leader would
        # believe it and take them from the member that has them by now.
        self._assignor.member_assignment = None

    def _lose(self, taken: Iterable[TopicPartition]) -> None:
        partitions = [to_partition(partition) for partition in taken]
        self._ownership.lose(partitions)
        self._suspects.forget(partitions)
