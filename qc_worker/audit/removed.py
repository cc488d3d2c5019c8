"""Find the frames that retention removed before they were judged, by gaps between inspections, which are kept longer.

If the frame at a worker's committed offset has been removed, the worker continues at the oldest frame left and commits
from there, so the committed offset does not show the loss. The gap between the inspections does.
"""

from bisect import bisect_right
from collections.abc import Iterator

from qc_worker.audit.ledger import InspectionEntry
from qc_worker.domain.frame import Offsets, Partition, Position

MAX_RUNS = 10_000
"""Runs kept of each partition; inspections come nearly in order, so there is about one run per gap."""


class RemovedFrames:
    """Collect the judged offsets of `images` before `oldest`, the first offsets that retention has left."""

    def __init__(self, oldest: Offsets) -> None:
        self._oldest = oldest
        self._judged = {partition: Runs() for partition in oldest}
        self._known_from: dict[Partition, int] = {}
        self._last_frame: dict[Partition, int] = {}
        self._broken: set[Partition] = set()

    def add_frame(self, position: Position) -> None:
        """Add a frame that is still there, in the order of its partition."""
        last = self._last_frame.get(position.topic_partition, position.offset - 1)
        if position.offset != last + 1:
            # Transaction markers have offsets as well; removed ones cannot be told from removed frames.
            self._broken.add(position.topic_partition)
        self._last_frame[position.topic_partition] = position.offset

    def add_inspection(self, entry: InspectionEntry) -> None:
        """Add a record on `results`."""
        partition, offset = entry.source.topic_partition, entry.source.offset
        if offset >= self._oldest.get(partition, 0):
            return
        self._judged[partition].add(offset)
        if entry.successors_kept:
            self._known_from[partition] = min(offset, self._known_from.get(partition, offset))

    def unjudged(self, committed: Offsets) -> Iterator[tuple[Partition, int, int]]:
        """Yield the unjudged offsets before `oldest`, as partition, first offset and end.

        These are the gaps between inspections, and all offsets from the committed one on.
        """
        for partition, oldest in sorted(self._oldest.items()):
            settled = min(committed.get(partition, oldest), oldest)
            # A partition is judged in order: a frame after an inspection whose successors are all kept, and without one
            # of its own, was not judged.
            if partition in self._known_from and partition not in self._broken:
                for first, end in self._judged[partition].gaps(self._known_from[partition], settled):
                    yield partition, first, end
            if settled < oldest:
                yield partition, settled, oldest


class Runs:
    """Hold a set of offsets as runs without gaps; if there are too many runs, drop the lower half."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        self._dropped_until = 0

    def add(self, offset: int) -> None:
        """Add an offset to the set; one below the dropped runs is ignored."""
        starts, ends = self._starts, self._ends
        index = bisect_right(starts, offset)  # runs `index - 1` and `index` are its neighbours
        if offset < self._dropped_until or (index > 0 and offset < ends[index - 1]):
            return
        joins_previous = index > 0 and ends[index - 1] == offset
        joins_next = index < len(starts) and starts[index] == offset + 1
        if joins_previous and joins_next:
            del ends[index - 1], starts[index]
        elif joins_previous:
            ends[index - 1] = offset + 1
        elif joins_next:
            starts[index] = offset
        else:
            starts.insert(index, offset)
            ends.insert(index, offset + 1)
        if len(starts) > MAX_RUNS:
            self._drop_lower_half()

    def _drop_lower_half(self) -> None:
        count = MAX_RUNS // 2
        self._dropped_until = self._ends[count - 1]
        del self._starts[:count], self._ends[:count]

    def gaps(self, first: int, end: int) -> Iterator[tuple[int, int]]:
        """Yield start and end of each gap from `first` to before `end`, without the dropped runs."""
        at = max(first, self._dropped_until)
        for start, stop in zip(self._starts, self._ends, strict=True):
            if at < min(start, end):
                yield at, min(start, end)
            at = max(at, stop)
        if at < end:
            yield at, end
