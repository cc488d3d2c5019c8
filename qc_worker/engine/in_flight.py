"""Every frame between polling and committing, in offset order by partition.

The one place that decides what may be published and which offsets may be committed: the settled prefix of each
partition. That keeps the frames of a camera in order (they share a partition) and never commits past an open frame.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, takewhile

from qc_worker.domain.frame import Offsets, Partition, Record
from qc_worker.domain.inspection import Outcome

MAX_PUBLISHED_BYTES = 32 << 20
"""Of dead letters in one publishing, so that a slow network acknowledges it in time; inspections are small."""


@dataclass(slots=True, eq=False)
class Ticket:
    """One record in flight. A frame polled again after a rebalance gets a ticket of its own."""

    record: Record
    polled_at: float
    due_at: float | None = None
    """When its verdict is wanted, by the monotonic clock; None: no matter."""
    outcome: Outcome | None = None
    is_offered: bool = False
    """It has been handed out to be published."""
    is_void: bool = False
    """Its partition was lost, so nobody here wants its outcome. Set by the main thread, seen by all others."""
    is_skipped: bool = False
    """Some thread has seen that it is void, and has forgotten its frame."""

    def skip_if_void(self) -> bool:
        """Whether nobody wants its outcome any more; whoever is told so forgets the frame and does no work on it."""
        self.is_skipped = self.is_void
        return self.is_skipped

    def is_late(self, now: float) -> bool:
        """Whether an outcome that is made now comes after it was wanted."""
        return self.due_at is not None and now > self.due_at


@dataclass(frozen=True, slots=True)
class Committable:
    """Settled tickets in publishing order."""

    tickets: tuple[Ticket, ...]

    @property
    def outcomes(self) -> list[Outcome]:
        return [ticket.outcome for ticket in self.tickets if ticket.outcome is not None]

    @property
    def offsets(self) -> Offsets:
        """The next offset to read of each partition once these are published."""
        return {ticket.record.position.topic_partition: ticket.record.position.offset + 1 for ticket in self.tickets}


class InFlight:
    """Frames and bytes in the worker, never more than the limits. Used by the worker's main thread only."""

    def __init__(self, *, max_frames: int, max_bytes: int, max_record_bytes: int) -> None:
        """`max_record_bytes`: what the topic takes, not what is judged; a record too large to judge comes whole."""
        self._max_frames = max_frames
        self._max_bytes = max_bytes
        self._max_record_bytes = max_record_bytes
        self._tickets: dict[Partition, deque[Ticket]] = {}
        self._void: list[Ticket] = []
        self.frames = 0
        self.bytes = 0

    @property
    def room_frames(self) -> int:
        """How many more records fit, each taken for as large as one may be; an empty worker always takes one."""
        by_bytes = (self._max_bytes - self.bytes) // self._max_record_bytes
        room = max(0, min(self._max_frames - self.frames, by_bytes))
        return room or (1 if self.frames == 0 else 0)

    def admit(self, record: Record, polled_at: float) -> Ticket:
        """Open a ticket.

        A frame delivered again makes void what came from there on: its partition was away in the meantime.
        """
        ticket = Ticket(record, polled_at)
        tickets = self._tickets.setdefault(record.position.topic_partition, deque())
        while tickets and tickets[-1].record.position.offset >= record.position.offset:
            self._make_void([tickets.pop()])
        tickets.append(ticket)
        self.frames += 1
        self.bytes += _record_bytes(record)
        return ticket

    def committable(self, max_bytes: int = MAX_PUBLISHED_BYTES) -> Committable:
        """The settled prefix of every partition, up to `max_bytes` to publish; nothing is forgotten before `retire`.

        Oldest first, so that no partition waits for ever behind another's dead letters. Before them what was handed out
        earlier: when nobody knows whether a publishing came through, the next one must have all of it.
        """
        settled = [ticket for tickets in self._tickets.values() for ticket in takewhile(_is_settled, tickets)]
        settled.sort(key=lambda ticket: (not ticket.is_offered, ticket.polled_at))  # stable: keeps partitions in order
        chosen = _up_to(max_bytes, settled)
        for ticket in chosen:
            ticket.is_offered = True
        return Committable(tuple(chosen))

    def retire(self, published: Committable) -> None:
        """Forget what has been published."""
        for ticket in published.tickets:
            tickets = self._tickets.get(ticket.record.position.topic_partition)
            if tickets and tickets[0] is ticket:
                tickets.popleft()
                self._subtract(ticket)

    def drop(self, partitions: Iterable[Partition]) -> int:
        """Make void the frames of lost partitions, judged or not; their new owner judges them."""
        dropped = [ticket for partition in partitions for ticket in self._tickets.pop(partition, ())]
        self._make_void(dropped)
        return len(dropped)

    def forget_skipped(self) -> None:
        """Count void frames no more once no thread has them in hand; until then they take memory like any other."""
        void, self._void = self._void, []
        for ticket in void:
            if ticket.is_skipped or _is_settled(ticket):
                self._subtract(ticket)
            else:
                self._void.append(ticket)

    def partitions(self) -> frozenset[Partition]:
        """Those with frames in flight."""
        return frozenset(partition for partition, tickets in self._tickets.items() if tickets)

    def _make_void(self, tickets: Iterable[Ticket]) -> None:
        for ticket in tickets:
            ticket.is_void = True
            self._void.append(ticket)
        self.forget_skipped()

    def _subtract(self, ticket: Ticket) -> None:
        self.frames -= 1
        self.bytes -= _record_bytes(ticket.record)


def _is_settled(ticket: Ticket) -> bool:
    return ticket.outcome is not None


def _up_to(max_bytes: int, tickets: Sequence[Ticket]) -> Sequence[Ticket]:
    """As many as fit, at least one: no record is so large that it could not be published alone."""
    fitting = sum(total <= max_bytes for total in accumulate(map(_published_bytes, tickets)))
    return tickets[: max(1, fitting)]


def _published_bytes(ticket: Ticket) -> int:
    return _record_bytes(ticket.record) if ticket.outcome and ticket.outcome.dead_letter else 0


def _record_bytes(record: Record) -> int:
    """All of it: a record may be as large by its headers alone."""
    headers = sum(len(name) + len(text) for name, text in record.headers)
    return len(record.content) + len(record.key or b"") + headers
