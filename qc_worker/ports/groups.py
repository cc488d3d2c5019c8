"""The workers' consumer group as the broker sees it: how many live, and what waits for them."""

from dataclasses import dataclass
from typing import Protocol

from qc_worker.domain.frame import Offsets


@dataclass(frozen=True, slots=True)
class GroupState:
    """A consumer group on its topic at one moment."""

    members: int
    """Members that the broker takes for alive: one that was killed counts until its session times out."""
    next: Offsets
    """Each partition's next offset to settle: what is committed, or the first one that retention has left."""
    ends: Offsets
    """Each partition's end."""

    @property
    def waiting(self) -> int:
        """Number of records that are not settled yet."""
        return sum(max(0, end - self.next.get(partition, end)) for partition, end in self.ends.items())


class GroupWatch(Protocol):
    """Asks the broker for one group on one topic, without joining it. Used by one thread, apart from `interrupt`."""

    def look(self) -> GroupState:
        """Ask now. Raises TransportError, also if the topic does not exist."""
        ...

    def interrupt(self) -> None:
        """Have the `look` that another thread waits in raise TransportError, and all later ones; then only `close` it.

        One that begins at the same moment may be missed: repeat it until that thread has noticed.
        """
        ...

    def close(self) -> None:
        """Disconnect."""
        ...
