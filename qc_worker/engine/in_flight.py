"""Every frame between polling and committing, in offset order by partition.

The one place that decides what may be published and which offsets may be committed: the settled prefix of each
partition. That keeps the frames of a camera in order (they share a partition) and never commits past an open frame.
"""

from collections import deque
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from itertools import chain, takewhile

from qc_worker.domain.frame import Offsets, Partition, Record
from qc_worker.domain.inspection import Outcome


@dataclass(slots=True, eq=False)
class Ticket:
    """One record in flight. A frame polled again after a rebalance gets a ticket of its own."""

    record: Record
    polled_at: float
    outcome: Outcome | None = None


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
        return {ticket.record.position.shard: ticket.record.position.offset + 1 for ticket in self.tickets}


class InFlight:
    """Frames and bytes in the worker, never more than the limits. Used by the worker's main thread only."""

    def __init__(self, *, max_frames: int, max_bytes: int, max_frame_bytes: int) -> None:
        self._max_frames = max_frames
        self._max_bytes = max_bytes
        self._max_frame_bytes = max_frame_bytes
        self._tickets: dict[Partition, deque[Ticket]] = {}
        self.frames = 0
        self.bytes = 0

    @property
    def room_frames(self) -> int:
        """How many more records fit, each taken for as large as a frame may be; an empty worker always takes one."""
        by_bytes = (self._max_bytes - self.bytes) // self._max_frame_bytes
        room = max(0, min(self._max_frames - self.frames, by_bytes))
        return room or (1 if self.frames == 0 else 0)

    def admit(self, record: Record, polled_at: float) -> Ticket:
        """Open a ticket.

        A frame delivered again makes void what came from there on: its partition was away in the meantime.
        """
        ticket = Ticket(record, polled_at)
        tickets = self._tickets.setdefault(record.position.shard, deque())
        while tickets and tickets[-1].record.position.offset >= record.position.offset:
            self._subtract([tickets.pop()])
        tickets.append(ticket)
        self.frames += 1
        self.bytes += len(record.content)
        return ticket

    def committable(self) -> Committable:
        """The settled prefix of every partition; nothing is forgotten before `retire`."""
        prefixes = [takewhile(_is_settled, tickets) for tickets in self._tickets.values()]
        return Committable(tuple(chain.from_iterable(prefixes)))

    def retire(self, published: Committable) -> None:
        """Forget what has been published."""
        for ticket in published.tickets:
            tickets = self._tickets.get(ticket.record.position.shard)
            if tickets and tickets[0] is ticket:
                tickets.popleft()
                self._subtract([ticket])

    def drop(self, partitions: Iterable[Partition]) -> int:
        """Forget the frames of lost partitions, judged or not; their new owner judges them."""
        dropped = [self._tickets.pop(partition, deque()) for partition in partitions]
        for tickets in dropped:
            self._subtract(tickets)
        return sum(map(len, dropped))

    def partitions(self) -> frozenset[Partition]:
        """Those with frames in flight."""
        return frozenset(partition for partition, tickets in self._tickets.items() if tickets)

    def _subtract(self, tickets: Collection[Ticket]) -> None:
        self.frames -= len(tickets)
        self.bytes -= sum(len(ticket.record.content) for ticket in tickets)


def _is_settled(ticket: Ticket) -> bool:
    return ticket.outcome is not None
