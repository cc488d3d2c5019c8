"""Hold every frame between polling and committing, in offset order by partition.

Only the settled prefix of each partition may be published, and only its offsets committed. So the frames of a camera,
which share a partition, stay in order, and no commit goes past an open frame.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import takewhile

from qc_worker.domain.frame import Offsets, Partition, Record
from qc_worker.domain.inspection import Outcome

MAX_PUBLISHED_BYTES = 32 << 20
"""Limit of the dead letters published at once, so that a slow network acknowledges in time; inspections are small."""


@dataclass(slots=True, eq=False)
class Ticket:
    """One record in flight and, once it is settled, its outcome. A frame polled again gets a new ticket."""

    record: Record
    polled_at: float
    due_at: float | None = None
    """Deadline of its verdict, by the monotonic clock; None: no deadline."""
    outcome: Outcome | None = None
    """Read only; set by `settle`."""
    is_offered: bool = False
    """It has been returned by `InFlight.committable` to be published."""
    is_void: bool = False
    """Its partition was lost, so its outcome is not published here. Set by the main thread, read by all others."""
    is_skipped: bool = False
    """A thread has seen that it is void and has dropped its frame."""

    def settle(self, outcome: Outcome) -> None:
        """Set the outcome; from now on the frame may be published. Safe from any thread."""
        self.outcome = outcome

    def skip_if_void(self) -> bool:
        """Return True if its outcome is not needed any more; the caller must then drop the frame."""
        self.is_skipped = self.is_void
        return self.is_skipped

    def is_late(self, now: float) -> bool:
        """Return True if `now` is after the deadline."""
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
        """Offsets to commit once these are published: by partition, the next one to read."""
        return {ticket.record.position.topic_partition: ticket.record.position.offset + 1 for ticket in self.tickets}


class InFlight:
    """Hold the tickets of all frames in flight, within limits. Used by the worker's main thread only."""

    def __init__(self, *, max_frames: int, max_bytes: int, max_record_bytes: int) -> None:
        """Take the limits; `max_record_bytes` is the topic's: a record too large to judge is polled whole as well."""
        self._max_frames = max_frames
        self._max_bytes = max_bytes
        self._max_record_bytes = max_record_bytes
        self._tickets: dict[Partition, deque[Ticket]] = {}
        self._void: list[Ticket] = []
        self.frames = 0
        self.bytes = 0

    @property
    def room_frames(self) -> int:
        """Number of records that fit, each counted as the largest possible; at least 1 if none is in flight."""
        by_bytes = (self._max_bytes - self.bytes) // self._max_record_bytes
        room = max(0, min(self._max_frames - self.frames, by_bytes))
        if room == 0 and self.frames == 0:
            return 1
        return room

    def admit(self, record: Record, polled_at: float) -> Ticket:
        """Open a ticket.

        A frame that is delivered again makes void all tickets from its offset on: the partition was lost in between.
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
        """Return the settled prefix of every partition, up to `max_bytes`; all of it stays here until `retire`."""
        settled = [ticket for tickets in self._tickets.values() for ticket in takewhile(_is_settled, tickets)]
        # Offered ones first: if a publishing may have failed, the next one must contain all of it. Then the oldest, so
        # that no partition always waits behind another's dead letters. The sort is stable: partitions stay in order.
        settled.sort(key=lambda ticket: (not ticket.is_offered, ticket.polled_at))
        chosen = _up_to(max_bytes, settled)
        for ticket in chosen:
            ticket.is_offered = True
        return Committable(tuple(chosen))

    def retire(self, published: Committable) -> None:
        """Remove the published tickets."""
        for ticket in published.tickets:
            tickets = self._tickets.get(ticket.record.position.topic_partition)
            if tickets and tickets[0] is ticket:
                tickets.popleft()
                self._subtract(ticket)

    def drop(self, partitions: Iterable[Partition]) -> int:
        """Make the tickets of lost partitions void and return their number; the new owner judges these frames."""
        dropped = [ticket for partition in partitions for ticket in self._tickets.pop(partition, ())]
        self._make_void(dropped)
        return len(dropped)

    def forget_skipped(self) -> None:
        """Stop counting the void tickets that no thread works on any more; until then their frames occupy memory."""
        void, self._void = self._void, []
        for ticket in void:
            if ticket.is_skipped or _is_settled(ticket):
                self._subtract(ticket)
            else:
                self._void.append(ticket)

    def partitions(self) -> frozenset[Partition]:
        """Return the partitions that have frames in flight."""
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
    """Return the first tickets whose dead letters fit, at least one: any record can be published alone."""
    total_bytes = 0
    for index, ticket in enumerate(tickets):
        total_bytes += _published_bytes(ticket)
        if total_bytes > max_bytes:
            return tickets[: max(1, index)]
    return tickets


def _published_bytes(ticket: Ticket) -> int:
    if ticket.outcome and ticket.outcome.dead_letter:
        return _record_bytes(ticket.record)
    return 0


def _record_bytes(record: Record) -> int:
    """Return the size of content, key and headers: headers alone can make a record large."""
    headers = sum(len(name) + len(text) for name, text in record.headers)
    return len(record.content) + len(record.key or b"") + headers
