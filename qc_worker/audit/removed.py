"""Frames that retention has removed before anybody judged them, told by the inspections, which live longer.

A worker that finds its place removed goes on at the oldest frame left and commits that: the committed offset then lies
behind the loss. What stays is a gap in what the inspections say was judged.
"""

from bisect import bisect_right
from collections.abc import Iterator

from qc_worker.audit.ledger import InspectionEntry
from qc_worker.domain.frame import Offsets, Partition, Position

MAX_RUNS = 10_000
"""Kept of each partition; there is one between two gaps, as long as inspections come nearly in order."""


class RemovedFrames:
    """Offsets of `images` before `oldest`, the first ones that retention has left."""

    def __init__(self, oldest: Offsets) -> None:
        self._oldest = oldest
        self._judged = {partition: Runs() for partition in oldest}
        self._known_from: dict[Partition, int] = {}
        self._last_frame: dict[Partition, int] = {}
        self._broken: set[Partition] = set()

    def add_frame(self, position: Position) -> None:
        """A record that is still there, in the order of its partition."""
        last = self._last_frame.get(position.topic_partition, position.offset - 1)
        if position.offset != last + 1:
            # Marks of transactions take offsets too, and once removed, nobody can tell them from frames.
            self._broken.add(position.topic_partition)
        self._last_frame[position.topic_partition] = position.offset

    def add_inspection(self, entry: InspectionEntry) -> None:
        """A record on `results`."""
        partition, offset = entry.source.topic_partition, entry.source.offset
        if offset >= self._oldest.get(partition, 0):
            return
        self._judged[partition].add(offset)
        if entry.successors_kept:
            self._known_from[partition] = min(offset, self._known_from.get(partition, offset))

    def unjudged(self, committed: Offsets) -> Iterator[tuple[Partition, int, int]]:
        """Gaps, as partition, first offset and end: those between inspections, and all behind the committed offset."""
        for partition, oldest in sorted(self._oldest.items()):
            settled = min(committed.get(partition, oldest), oldest)
            # A partition is judged in order: behind an inspection with all its successors, what has none had none.
            if partition in self._known_from and partition not in self._broken:
                for first, end in self._judged[partition].gaps(self._known_from[partition], settled):
                    yield partition, first, end
            if settled < oldest:
                yield partition, settled, oldest


class Runs:
    """A set of offsets, kept as runs without a gap; of too many, the lower half is forgotten."""

    def __init__(self) -> None:
        self._edges: list[int] = []  # first of a run, end of it, first of the next, ...
        self._forgotten_until = 0

    def add(self, offset: int) -> None:
        edges = self._edges
        at = bisect_right(edges, offset)
        if at % 2 or offset < self._forgotten_until:
            return  # inside a run, or below all
        joins_left = at > 0 and edges[at - 1] == offset
        joins_right = at < len(edges) and edges[at] == offset + 1
        # On a side where it joins, the edge between them goes.
        edges[at - joins_left : at + joins_right] = [offset] * (not joins_left) + [offset + 1] * (not joins_right)
        if len(edges) > 2 * MAX_RUNS:
            self._forgotten_until = edges[MAX_RUNS // 2 * 2 - 1]
            del edges[: MAX_RUNS // 2 * 2]

    def gaps(self, first: int, end: int) -> Iterator[tuple[int, int]]:
        """What is missing from `first` to before `end`, nothing of what was forgotten."""
        at = max(first, self._forgotten_until)
        for start, stop in zip(self._edges[::2], self._edges[1::2], strict=True):
            if at < min(start, end):
                yield at, min(start, end)
            at = max(at, stop)
        if at < end:
            yield at, end
