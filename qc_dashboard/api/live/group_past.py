"""Remember the last looks at the workers' group: what they say together, no single one says."""

from collections import deque

from qc_worker.domain.frame import Offsets
from qc_worker.ports.groups import GroupState

SETTLED_S = 60.0
"""Time for which a number of workers must hold to count: one that was killed and replaced is there twice at first."""
REMEMBERED_S = 3600.0
RATE_S = 30.0
MOST_LOOKS = 1_200


class GroupPast:
    """What the looks of the last hour say; times are monotonic seconds."""

    def __init__(self) -> None:
        self._sizes: deque[tuple[float, int]] = deque()
        self._settled: deque[tuple[float, int]] = deque()
        self._totals: deque[tuple[float, int]] = deque()
        self._ends: deque[tuple[float, Offsets]] = deque(maxlen=MOST_LOOKS)

    def add(self, now_s: float, state: GroupState) -> None:
        """Take a look into account."""
        self._sizes.append((now_s, state.members))
        self._totals.append((now_s, sum(state.ends.values())))
        if not self._ends or self._ends[-1][1] != state.ends:
            self._ends.append((now_s, state.ends))
        while self._ends and not _stuck(state.next, self._ends[0][1]):
            self._ends.popleft()
        if now_s - self._sizes[0][0] >= SETTLED_S:
            self._settled.append((now_s, min(size for _, size in self._sizes)))
        _forget(self._sizes, now_s - SETTLED_S)
        _forget(self._totals, now_s - RATE_S)
        _forget(self._settled, now_s - REMEMBERED_S)

    def usual_size(self) -> int | None:
        """Return the most workers that were there together for a while; None before that can be said."""
        return max((size for _, size in self._settled), default=None)

    def oldest_waits_s(self, now_s: float) -> float:
        """Return the time for which a frame has waited at least; 0 if none does."""
        return now_s - self._ends[0][0] if self._ends else 0.0

    def arriving_per_s(self) -> float | None:
        """Return the frames per second that came on the topic lately; None before that can be said."""
        (then_s, then), (now_s, now) = self._totals[0], self._totals[-1]
        return max(0, now - then) / (now_s - then_s) if now_s > then_s else None


def _stuck(settled: Offsets, ends: Offsets) -> bool:
    """Return True if something before these ends is not settled yet.

    A single offset at an end does not count: the mark of a camera's transaction is one, and nobody settles it.
    """
    return any(end - settled.get(partition, end) > 1 for partition, end in ends.items())


def _forget(looks: deque[tuple[float, int]], before_s: float) -> None:
    """Drop what is older, but for the last one of it, so that the whole time stays covered."""
    while len(looks) > 1 and looks[1][0] <= before_s:
        looks.popleft()
