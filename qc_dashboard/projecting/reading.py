"""Read the topics once, from their beginnings to their present ends, for a rebuild."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Generic, Protocol, TypeVar

from qc_worker.domain.frame import Offsets, Record
from qc_worker.ports.books import Books

BATCH_RECORDS = 2_000

T = TypeVar("T")


class Progress(Protocol):
    """Shows how far a long reading is."""

    def reading(self, records: Iterable[Record], title: str, *, total: int) -> Iterable[Record]:
        """Pass `records` on, about `total` of them, while showing how many have come."""
        ...


@dataclass(frozen=True, slots=True)
class Span:
    """What a topic holds: from the first offsets that retention has left to the ends."""

    starts: Offsets
    ends: Offsets

    @property
    def records(self) -> int:
        return sum(end - self.starts.get(partition, 0) for partition, end in self.ends.items())


@dataclass(frozen=True, slots=True)
class WholeTopic(Generic[T]):
    """A topic as a rebuild reads it."""

    topic: str
    books: Books
    decode: Callable[[Record], T | None]

    def span(self) -> Span:
        """Look up what the topic holds now. Raises TransportError."""
        return Span(self.books.oldest(self.topic), self.books.ends(self.topic))

    def batches(self, span: Span, progress: Progress) -> Iterator[Sequence[T]]:
        """Yield what the span holds, unreadable records left out. Raises TransportError."""
        records = iter(progress.reading(self.books.read(span.starts), self.topic, total=span.records))
        in_span = (record for record in records if _lies_before(record, span.ends))
        while batch := list(islice(in_span, BATCH_RECORDS)):
            decoded = map(self.decode, batch)
            yield [one for one in decoded if one is not None]


def _lies_before(record: Record, ends: Offsets) -> bool:
    return record.position.offset < ends.get(record.position.topic_partition, 0)
