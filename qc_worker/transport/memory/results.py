"""Inspections on the in-memory broker: the sink, the feed and the newest ones."""

from collections.abc import Callable, Iterator, Sequence
from time import monotonic

from qc_worker.domain.frame import Offsets
from qc_worker.domain.inspection import Inspection, Outcome
from qc_worker.ports.results import PublishedInspection
from qc_worker.transport.memory.broker import MemoryBroker
from qc_worker.transport.memory.feed import MemoryFeed
from qc_worker.transport.outgoing import outgoing_records
from qc_worker.transport.published import inspection_of_line, published_inspection


class MemorySink:
    """All or nothing: if the broker is down nothing is appended."""

    def __init__(
        self, broker: MemoryBroker, *, results_topic: str, dead_letter_topic: str, commit: Callable[[Offsets], None]
    ) -> None:
        self._broker = broker
        self._topics = {"results_topic": results_topic, "dead_letter_topic": dead_letter_topic}
        self._commit = commit

    def start(self) -> None:
        self._broker.check()

    def publish(self, outcomes: Sequence[Outcome], offsets: Offsets) -> None:
        for outcome in outcomes:
            for record in outgoing_records(outcome, **self._topics):
                self._broker.append(record)
        self._commit(offsets)

    def close(self) -> None:
        pass


class MemoryInspectionFeed(MemoryFeed[PublishedInspection]):
    """Follows `results`."""

    def __init__(
        self, broker: MemoryBroker, *, topic: str, from_beginning: bool = True, max_records: int = 500
    ) -> None:
        super().__init__(
            broker, topic=topic, decode=published_inspection, from_beginning=from_beginning, max_records=max_records
        )

    def read(self, *, timeout_s: float) -> Iterator[PublishedInspection]:
        deadline_s = monotonic() + timeout_s
        while (left_s := deadline_s - monotonic()) > 0:
            yield from self.poll(timeout_s=left_s)


class MemoryRecentInspections:
    """Reads the newest inspections on the in-memory broker."""

    def __init__(self, broker: MemoryBroker, *, topic: str) -> None:
        self._broker = broker
        self._topic = topic

    def last(self, line: str, count: int) -> list[Inspection]:
        partitions = self._broker.partitions(self._topic)
        records = [record for p in partitions for record in self._broker.read_all(p, 0)]
        records.sort(key=lambda record: record.appended_at)
        found = [inspection for record in records if (inspection := inspection_of_line(record, line)) is not None]
        return found[-count:]

    def close(self) -> None:
        pass
