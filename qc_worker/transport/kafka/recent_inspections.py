"""Reads the last inspections of a line, backwards from the end of `results`, without a group."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from qc_worker.domain.frame import Partition, Record
from qc_worker.domain.inspection import Inspection
from qc_worker.transport.kafka.books import KafkaBooks
from qc_worker.transport.kafka.connecting.access import KafkaAccess
from qc_worker.transport.published import inspection_of_line

GROWTH = 4
MAX_WINDOW = 200_000
"""Most records of a partition that are read back: a line that is idle for long must not cost the whole topic."""


class KafkaRecentInspections:
    """Reads a window at the end of every partition, and a larger one if it holds too few inspections of the line."""

    def __init__(self, access: KafkaAccess, *, topic: str) -> None:
        self._books = KafkaBooks(access)
        self._topic = topic

    def last(self, line: str, count: int) -> list[Inspection]:
        oldest, ends = self._books.oldest(self._topic), self._books.ends(self._topic)
        window = count
        while True:
            starts = {p: max(oldest.get(p, 0), end - window) for p, end in ends.items()}
            newest = _Newest(line, count)
            newest.add_all(self._books.read(starts))
            cut = {p for p, start in starts.items() if start > oldest.get(p, 0)}
            if newest.complete(cut) or window >= MAX_WINDOW:
                return newest.inspections()
            window = min(MAX_WINDOW, GROWTH * window)

    def close(self) -> None:
        self._books.close()


class _Newest:
    """The newest inspections of a line among the records of a window, by the time at which they were appended."""

    def __init__(self, line: str, count: int) -> None:
        self._line = line
        self._count = count
        self._found: list[tuple[datetime, Inspection]] = []
        self._since: dict[Partition, datetime] = {}

    def add_all(self, records: Iterable[Record]) -> None:
        for record in records:
            self._since.setdefault(record.position.topic_partition, record.appended_at)
            inspection = inspection_of_line(record, self._line)
            if inspection is not None:
                self._found.append((record.appended_at, inspection))
                if len(self._found) >= 2 * self._count:
                    self._keep_newest()  # so that memory is bounded by `count`, whatever the window

    def complete(self, cut: set[Partition]) -> bool:
        """Return True if no newer inspection can be missing; older records of the partitions in `cut` were not read.

        That is so if everything found is younger than the oldest record read of each of those partitions.
        """
        if not cut:
            return True
        self._keep_newest()
        return len(self._found) == self._count and all(_reaches(self._since, p, self._found[0][0]) for p in cut)

    def inspections(self) -> list[Inspection]:
        self._keep_newest()
        return [inspection for _, inspection in self._found]

    def _keep_newest(self) -> None:
        self._found.sort(key=lambda found: found[0])
        del self._found[: -self._count]


def _reaches(since: Mapping[Partition, datetime], partition: Partition, oldest_found: datetime) -> bool:
    read_from = since.get(partition)
    return read_from is not None and read_from <= oldest_found
