"""Which broker leads what, and how to make another do so."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import TransactionState
from kafka.errors import KafkaError

from qc_worker.domain.errors import TransportError
from qc_worker.transport.kafka.connecting.access import KafkaAccess, open_client
from tests.conftest import eventually
from tests.support.apache_kafka.cluster import Broker

PREFERRED = 0
OFFSETS, TRANSACTIONS = "__consumer_offsets", "__transaction_state"
INTERNAL_PARTITIONS = 4
"""As `tests.support.apache_kafka.cluster` sets for both."""
Leaders = dict[tuple[str, int], int]
"""Node by topic and partition."""


class Leadership:
    """Asks and tells a cluster by its admin protocol."""

    def __init__(self, access: KafkaAccess, brokers: Sequence[Broker]) -> None:
        self._access = access
        self._brokers = {broker.node: broker for broker in brokers}

    def leader_of(self, topic: str, partition: int = 0) -> Broker:
        return self._brokers[self.leaders(topic)[topic, partition]]

    def group_coordinator(self, group: str) -> Broker:
        """The broker that keeps the group's members and offsets."""
        return self.leader_of(OFFSETS, _partition_of(group))

    def transaction_coordinator(self, group: str) -> Broker:
        """The broker that keeps the transactions of a worker of the group."""
        return self.leader_of(TRANSACTIONS, _partition_of(self.transactional_ids(group)[0]))

    def transactional_ids(self, group: str, *, open_only: bool = False) -> list[str]:
        """Of the group's workers, sorted; or of those only whose transaction is neither committed nor aborted."""
        with self._admin() as admin:
            listed = [one for node in admin.list_transactions().values() for one in node]
        ours = [one for one in listed if one.transactional_id.startswith(group)]
        return sorted(one.transactional_id for one in ours if not open_only or one.state == TransactionState.ONGOING)

    def leaders(self, *topics: str) -> Leaders:
        return {place: one["leader_id"] for place, one in self._partitions(topics).items()}

    def move(self, *topics: str) -> None:
        """Make another replica of each partition its leader, without any broker going away."""
        self.wait_until_in_sync(*topics)
        partitions = self._partitions(topics)
        turned = {place: _behind_others(one["replica_nodes"], one["leader_id"]) for place, one in partitions.items()}
        with self._admin() as admin:
            answers = admin.alter_partition_reassignments(
                {TopicPartition(*place): replicas for place, replicas in turned.items()}
            )
        assert set(answers.values()) == {None}, answers
        eventually(lambda: self._replicas(topics) == turned or _pause())
        self.elect_preferred(*topics)
        before = {place: one["leader_id"] for place, one in partitions.items()}
        assert all(leader != before[place] for place, leader in self.leaders(*topics).items()), "no leader moved"

    def elect_preferred(self, *topics: str) -> None:
        """Give the partitions back to whom they belong; an error where there is one, but not where nothing changes."""
        self.wait_until_in_sync(*topics)
        with self._admin() as admin:
            admin.elect_leaders(PREFERRED, {topic: _numbers(self._partitions([topic])) for topic in topics})
        preferred = {place: replicas[0] for place, replicas in self._replicas(topics).items()}
        eventually(lambda: self.leaders(*topics) == preferred or _pause())

    def wait_until_in_sync(self, *topics: str) -> None:
        """Until every replica of every partition is."""

        def in_sync() -> bool:
            found = self._partitions(topics).values()
            return all(sorted(one["isr_nodes"]) == sorted(one["replica_nodes"]) for one in found) or _pause()

        eventually(in_sync, timeout_s=60)

    def _replicas(self, topics: Sequence[str]) -> dict[tuple[str, int], list[int]]:
        return {place: list(one["replica_nodes"]) for place, one in self._partitions(topics).items()}

    def _partitions(self, topics: Sequence[str]) -> dict[tuple[str, int], Any]:
        def described() -> Any:
            try:
                with self._admin() as admin:
                    return admin.describe_topics(list(topics))
            except (KafkaError, TransportError):
                return _pause()  # it was a broker that has just died whom we asked

        return {
            (topic["name"], one["partition_index"]): one
            for topic in eventually(described)
            for one in topic["partitions"]
        }

    @contextmanager
    def _admin(self) -> Iterator[Any]:
        admin = open_client(KafkaAdminClient, self._access)
        try:
            yield admin
        finally:
            admin.close()


def _behind_others(nodes: Sequence[int], leader: int) -> list[int]:
    return [node for node in nodes if node != leader] + [leader]


def _numbers(partitions: dict[tuple[str, int], Any]) -> list[int]:
    return [partition for _, partition in partitions]


def _partition_of(name: str) -> int:
    """Where Kafka keeps a group or a transactional id: by Java's String.hashCode."""
    number = 0
    for character in name:
        number = (31 * number + ord(character)) & 0xFFFFFFFF
    return abs(number - (1 << 32) if number >= 1 << 31 else number) % INTERNAL_PARTITIONS


def _pause() -> bool:
    time.sleep(0.2)
    return False
