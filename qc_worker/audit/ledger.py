"""Frames, inspections and dead letters held against each other, in one byte per frame.

Fed in this order: all frames, then all inspections, then all dead letters. Knows no broker.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from heapq import heappush, heappushpop

import numpy as np

from qc_worker.domain.frame import Offsets, Partition, Position

LIST_LIMIT = 1_000
"""Positions kept of each kind of finding; of those beyond, only the number."""
MAX_CAMERAS = 100_000
"""Cameras whose order is followed; their names come from outside and must not fill the memory."""

# What one byte tells of one offset of `images`.
FRAME, INSPECTED, INSPECTED_AGAIN, LETTER, LETTER_AGAIN, FAILED, LETTER_DUE, OTHER = (1 << bit for bit in range(8))

SCAN_BYTES = 1 << 20


class Kind(StrEnum):
    """What may be wrong with the books."""

    MISSING = "missing"
    """A frame without an inspection."""
    DOUBLE = "double"
    """A frame with more than one inspection."""
    OUT_OF_ORDER = "out_of_order"
    """An inspection that comes after that of a later frame of its camera."""
    NO_FRAME = "no_frame"
    """An inspection of a position that holds no frame."""
    NO_DEAD_LETTER = "no_dead_letter"
    """An inspection that says that the frame could not be judged, without the dead letter."""
    DOUBLE_DEAD_LETTER = "double_dead_letter"
    """A frame with more than one dead letter."""
    UNEXPLAINED_DEAD_LETTER = "unexplained_dead_letter"
    """A dead letter without an inspection that says that its frame could not be judged."""
    UNREADABLE = "unreadable"
    """A record on `results` or `images.dlq` that does not say which frame it belongs to."""
    EXPIRED = "expired"
    """Removed by retention before it was judged."""
    COMMITTED_PAST_END = "committed_past_end"
    """A committed offset that the partition does not reach: that of another topic of this name."""


@dataclass(slots=True)
class Finding:
    """How often, and where first."""

    count: int = 0
    positions: list[Position] = field(default_factory=list)

    def add(self, position: Position) -> None:
        self.count += 1
        if len(self.positions) < LIST_LIMIT:
            self.positions.append(position)


@dataclass(frozen=True, slots=True)
class InspectionEntry:
    """What the books need to know of one record on `results`."""

    source: Position
    camera: bytes | None
    """Its key; without one nobody promised an order."""
    partition: Partition
    """Where it lies; there is no order between partitions."""
    failed: bool
    """It says that the frame could not be judged."""
    letter_due: bool
    """It must have a dead letter: it failed, and retention has not reached that far."""
    successors_kept: bool
    """Whatever was published after it on any partition is still there, and read."""


@dataclass(frozen=True, slots=True)
class PartitionTotals:
    """One partition of `images`, from `start` to before `end`; `waiting` frames lie behind that."""

    partition: Partition
    start: int
    end: int
    frames: int
    inspections: int
    missing: int
    double: int
    out_of_order: int
    dead_letters: int
    waiting: int


@dataclass(frozen=True, slots=True)
class Balance:
    """What came out."""

    partitions: tuple[PartitionTotals, ...]
    findings: Mapping[Kind, Finding]
    unordered: int
    """Inspections whose order was not followed, for there were too many cameras."""

    @property
    def clean(self) -> bool:
        return not any(finding.count for finding in self.findings.values())


class Ledger:
    """The books of the frames from `starts` to before `ends`; frames behind those are counted as waiting."""

    def __init__(self, starts: Offsets, ends: Offsets) -> None:
        self._pages = {
            partition: _Page(partition, start, ends.get(partition, start)) for partition, start in starts.items()
        }
        self._topics = {partition.topic for partition in starts}
        self._findings = {kind: Finding() for kind in Kind}
        self._ahead: dict[Kind, list[Position]] = {Kind.NO_FRAME: [], Kind.UNEXPLAINED_DEAD_LETTER: []}
        self._last_of_camera: dict[tuple[Partition, Partition, bytes], int] = {}
        self._unordered = 0

    def add_frame(self, position: Position, *, selected: bool = True) -> None:
        """A record on `images`; those not selected only explain their inspections."""
        page = self._pages[position.topic_partition]
        if position.offset >= page.end:
            page.waiting += selected
        elif position.offset >= page.start:
            page.marks[position.offset - page.start] |= FRAME if selected else OTHER

    def add_inspection(self, entry: InspectionEntry) -> None:
        """A record on `results`, in the order of its partition."""
        page = self._page_of(entry.source, Kind.NO_FRAME)
        if page is None:
            return
        at = entry.source.offset - page.start
        marks = page.marks[at]
        if marks & FRAME:
            page.inspections += 1
            # A second inspection is a double and nothing else: judged again after a crash, it must come late.
            if not marks & INSPECTED and self._comes_late(entry):
                page.out_of_order += 1
                self._findings[Kind.OUT_OF_ORDER].add(entry.source)
        marks |= INSPECTED_AGAIN if marks & INSPECTED else INSPECTED
        page.marks[at] = marks | (FAILED if entry.failed else 0) | (LETTER_DUE if entry.letter_due else 0)

    def add_dead_letter(self, source: Position) -> None:
        """A record on `images.dlq`, by the frame that it names."""
        page = self._page_of(source, Kind.UNEXPLAINED_DEAD_LETTER)
        if page is not None:
            marks = page.marks[source.offset - page.start]
            page.dead_letters += bool(marks & FRAME)
            page.marks[source.offset - page.start] = marks | (LETTER_AGAIN if marks & LETTER else LETTER)

    def add_unreadable(self, position: Position) -> None:
        """A record on `results` or `images.dlq` that belongs to nobody."""
        self._findings[Kind.UNREADABLE].add(position)

    def add_expired(self, partition: Partition, first: int, end: int) -> None:
        """Offsets that retention removed before they were judged."""
        finding = self._findings[Kind.EXPIRED]
        for offset in range(first, min(end, first + LIST_LIMIT)):
            finding.add(Position(*partition, offset))
        finding.count += max(0, end - first - LIST_LIMIT)

    def add_committed_past_end(self, committed: Position) -> None:
        """An offset that the group has committed and the partition does not reach."""
        self._findings[Kind.COMMITTED_PAST_END].add(committed)

    def balance(self, *, oldest: Offsets, newest: Offsets) -> Balance:
        """Close the books.

        `oldest`, `newest`: first and end offsets of `images` after everything was read; what is older than that may
        have been removed while it was read, and what is newer does not exist.
        """
        for kind, positions in self._ahead.items():
            for position in sorted(positions):
                if position.offset >= newest.get(position.topic_partition, 0):
                    self._findings[kind].add(position)
        totals = [self._totals(page, oldest.get(page.partition, 0)) for _, page in sorted(self._pages.items())]
        return Balance(tuple(totals), self._findings, self._unordered)

    def _page_of(self, source: Position, stray: Kind) -> "_Page | None":
        """The page if it holds the position; a position that can hold no frame is a finding of the kind `stray`."""
        page = self._pages.get(source.topic_partition)
        if page is None:
            if source.topic in self._topics:
                self._findings[stray].add(source)
            return None
        if source.offset >= page.end:
            _keep_largest(self._ahead[stray], source)
            return None
        return page if source.offset >= page.start else None

    def _comes_late(self, entry: InspectionEntry) -> bool:
        if entry.camera is None:
            return False
        key = (entry.source.topic_partition, entry.partition, entry.camera)
        last = self._last_of_camera.get(key)
        if last is None and len(self._last_of_camera) >= MAX_CAMERAS:
            self._unordered += 1
            return False
        self._last_of_camera[key] = max(entry.source.offset, -1 if last is None else last)
        return last is not None and entry.source.offset < last

    def _totals(self, page: "_Page", oldest: int) -> PartitionTotals:
        counts = dict.fromkeys(Kind, 0)
        frames = 0
        for first, marks in page.chunks():
            frames += int(np.count_nonzero(marks & FRAME))
            present = np.arange(first, first + len(marks)) >= oldest
            for kind, wrong in _wrong(marks, present).items():
                offsets = np.flatnonzero(wrong)
                counts[kind] += len(offsets)
                self._add_found(kind, page.partition, offsets + first)
        return PartitionTotals(
            partition=page.partition,
            start=page.start,
            end=page.end,
            frames=frames,
            inspections=page.inspections,
            missing=counts[Kind.MISSING],
            double=counts[Kind.DOUBLE],
            out_of_order=page.out_of_order,
            dead_letters=page.dead_letters,
            waiting=page.waiting,
        )

    def _add_found(self, kind: Kind, partition: Partition, offsets: np.ndarray) -> None:
        finding = self._findings[kind]
        finding.count += len(offsets)
        room = LIST_LIMIT - len(finding.positions)
        finding.positions += [Position(*partition, int(offset)) for offset in offsets[:room]]


class _Page:
    """One partition of `images`."""

    def __init__(self, partition: Partition, start: int, end: int) -> None:
        self.partition = partition
        self.start = start
        self.end = max(start, end)
        self.marks = bytearray(self.end - start)
        self.inspections = 0
        self.out_of_order = 0
        self.dead_letters = 0
        self.waiting = 0

    def chunks(self) -> Iterator[tuple[int, np.ndarray]]:
        """First offset and marks of one piece after the other, so that looking at them takes little memory."""
        marks = np.frombuffer(self.marks, dtype=np.uint8)
        for at in range(0, len(marks), SCAN_BYTES):
            yield self.start + at, marks[at : at + SCAN_BYTES]


def _wrong(marks: np.ndarray, present: np.ndarray) -> dict[Kind, np.ndarray]:
    """Which offsets are wrong, by kind. `present`: the broker still has what lay there, if anything did."""
    frame, inspected, letter = (marks & bit != 0 for bit in (FRAME, INSPECTED, LETTER))
    nothing = (marks & (FRAME | OTHER) == 0) & present
    return {
        Kind.MISSING: frame & ~inspected,
        Kind.DOUBLE: frame & (marks & INSPECTED_AGAIN != 0),
        Kind.NO_FRAME: nothing & inspected,
        Kind.NO_DEAD_LETTER: frame & (marks & LETTER_DUE != 0) & ~letter,
        Kind.DOUBLE_DEAD_LETTER: frame & (marks & LETTER_AGAIN != 0),
        Kind.UNEXPLAINED_DEAD_LETTER: (frame | nothing) & letter & (marks & FAILED == 0),
    }


def _keep_largest(positions: list[Position], position: Position) -> None:
    """Frames not yet settled have inspections too; only the furthest ahead can be beyond all frames."""
    if len(positions) < LIST_LIMIT:
        heappush(positions, position)
    else:
        heappushpop(positions, position)
