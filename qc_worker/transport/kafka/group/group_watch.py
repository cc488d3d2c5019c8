"""Asks the brokers for the workers' group and for what waits on its topic, in a few small requests."""

from dataclasses import replace

from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import OffsetSpec

from qc_worker.domain.errors import TransportError
from qc_worker.domain.frame import Offsets
from qc_worker.ports.groups import GroupState
from qc_worker.transport.kafka.connecting.access import Connections, KafkaAccess, open_client, transport_errors
from qc_worker.transport.kafka.records import to_partition
from qc_worker.transport.kafka_fixes.private_api import living_members

TIMEOUT_MS = 5_000
"""Time for connecting, and for each request: who watches wants to know soon that nobody answers."""


class KafkaGroupWatch:
    """Holds one admin client, opened when it is first needed, and again after an error.

    Tansu's ends may lie before the true ones by up to a batch (see `groupless`), so what waits there may be more.
    """

    def __init__(self, access: KafkaAccess, *, topic: str, group: str) -> None:
        self._access = replace(access, connect_timeout_ms=TIMEOUT_MS, request_timeout_ms=TIMEOUT_MS)
        self._topic = topic
        self._group = group
        self._connections = Connections()
        self._admin: KafkaAdminClient | None = None

    def look(self) -> GroupState:
        self._connections.check()
        admin = self._opened()
        try:
            with transport_errors(f"asking for group {self._group}"):
                members = living_members(admin, self._group)
                partitions = _partitions(admin, self._topic)
                committed = admin.list_group_offsets({self._group: partitions})[self._group]
                first, ends = (_offsets(admin, partitions, which) for which in (OffsetSpec.EARLIEST, OffsetSpec.LATEST))
        except TransportError:
            self._disconnect()
            raise
        known = {to_partition(partition): found.offset for partition, found in committed.items()}
        # -1 where the group has committed nothing yet.
        return GroupState(members, {each: max(known.get(each, -1), offset) for each, offset in first.items()}, ends)

    def interrupt(self) -> None:
        self._connections.interrupt()

    def close(self) -> None:
        self._disconnect()

    def _opened(self) -> KafkaAdminClient:
        if self._admin is None:
            self._admin = open_client(KafkaAdminClient, self._access, self._connections)
        return self._admin

    def _disconnect(self) -> None:
        admin, self._admin = self._admin, None
        try:
            if admin is not None:
                with transport_errors("closing"):
                    admin.close()
        finally:
            self._connections.close()


def _partitions(admin: KafkaAdminClient, topic: str) -> list[TopicPartition]:
    (described,) = admin.describe_topics([topic])
    if not described["partitions"]:
        raise TransportError(f"topic {topic} does not exist; `qc-worker topics` creates it")
    return [TopicPartition(topic, each["partition_index"]) for each in described["partitions"]]


def _offsets(admin: KafkaAdminClient, partitions: list[TopicPartition], which: OffsetSpec) -> Offsets:
    found = admin.list_partition_offsets(dict.fromkeys(partitions, which))
    return {to_partition(partition): at.offset for partition, at in found.items()}
