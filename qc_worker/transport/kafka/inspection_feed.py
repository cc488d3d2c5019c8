"""Follows `results` without a group: for the demo, dashboards and tests."""

from collections.abc import Iterator
from time import monotonic

from qc_worker.ports.results import PublishedInspection
from qc_worker.transport.kafka.connecting.access import KafkaAccess
from qc_worker.transport.kafka.feed import KafkaFeed
from qc_worker.transport.published import published_inspection


class KafkaInspectionFeed(KafkaFeed[PublishedInspection]):
    """Reads all partitions of `results`."""

    def __init__(self, access: KafkaAccess, *, topic: str, from_beginning: bool = True, max_records: int = 500) -> None:
        super().__init__(
            access, topic=topic, decode=published_inspection, from_beginning=from_beginning, max_records=max_records
        )

    def read(self, *, timeout_s: float) -> Iterator[PublishedInspection]:
        deadline_s = monotonic() + timeout_s
        while (left_s := deadline_s - monotonic()) > 0:
            yield from self.poll(timeout_s=min(left_s, 0.5))
