"""Compare frames, inspections and dead letters with each other, in one byte per frame.

Add all frames first, then all inspections, then all dead letters. Knows no broker.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from heapq import heappush, heappushpop

import numpy as np

from qc_worker.domain.frame import Offsets, Partition, Position

LIST_LIMIT = 1_000
"""Positions listed for each kind of finding; the others are only counted."""
MAX_CAMERAS = 100_000
"""Cameras whose order is checked; their names come from outside and must not fill the memory."""
SCAN_BYTES = 1 << 20
"""Frames that are looked at together when the books are closed."""

# Flags in the byte of one offset of `images`; OTHER: a frame that is not selected.
FRAME = 1 << 0
INSPECTED = 1 << 1
INSPECTED_AGAIN = 1 << 2
LETTER = 1 << 3
LETTER_AGAIN = 1 << 4
FAILED = 1 << 5
LETTER_DUE = 1 << 6
OTHER = 1 << 7


class Kind(StrEnum):
    """Kinds of findings."""

    MISSING = "missing"
    """A frame without an inspection."""
    DOUBLE = "double"
    """A frame with more than one inspection."""
    OUT_OF_ORDER = "out_of_order"
    """An inspection published after that of a later frame of its camera."""
    NO_FRAME = "no_frame"
    """An inspection of a position without a frame."""
    NO_DEAD_LETTER = "no_dead_letter"
    """A failed inspection (`error` or `no_model`) without its dead letter."""
    DOUBLE_DEAD_LETTER = "double_dead_letter"
    """A frame with more than one dead letter."""
    UNEXPLAINED_DEAD_LETTER = "unexplained_dead_letter"
    """A dead letter without a failed inspection of its frame."""
    UNREADABLE = "unreadable"
    """A record on `results` or `images.dlq` that names no frame."""
    EXPIRED = "expired"
    """A frame that retention removed before it was judged."""
    COMMITTED_PAST_END = "committed_past_end"
    """A committed offset past the end of its partition: of an earlier topic with this name."""


@dataclass(slots=True)
class Finding:
    """Count of one kind of finding, and the first positions."""

    count: int = 0
    positions: list[Position] = field(default_factory=list)

    def add(self, position: Position) -> None:
        self.count += 1
        if len(self.positions) < LIST_LIMIT:
            self.positions.append(position)


@dataclass(frozen=True, slots=True)
class InspectionEntry:
    """One record on `results`, as the books see it."""

    source: Position
    camera: bytes | None
    """Key of the record; without one there is no order to check."""
    partition: Partition
    """Partition of the record on `results`; there is no order between partitions."""
    failed: bool
    """The frame could not be judged."""
    letter_due: bool
    """It must have a dead letter: it failed, and retention cannot have removed the letter yet."""
    successors_kept: bool
    """All inspections published after it, on any partition, are still there and are read."""


@dataclass(frozen=True, slots=True)
class PartitionTotals:
    """Totals of one partition of `images`, from `start` to before `end`; `waiting` frames come after that."""

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
    """The closed books."""

    partitions: tuple[PartitionTotals, ...]
    findings: Mapping[Kind, Finding]
    unordered: int
    """Inspections whose order was not checked, because there were too many cameras."""

    @property
    def clean(self) -> bool:
        return not any(finding.count for finding in self.findings.values())


class Ledger:
    """Keep the books of the frames from `starts` to before `ends`; later frames are counted as waiting."""

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
        """Add a record on `images`; a frame that is not selected may have an inspection, but need not."""
        page = self._pages[position.topic_partition]
        if position.offset >= page.end:
            if selected:
                page.waiting += 1
        elif position.offset >= page.start:
            page.marks[position.offset - page.start] |= FRAME if selected else OTHER

    def add_inspection(self, entry: InspectionEntry) -> None:
        """Add a record on `results`, in the order of its partition."""
        page = self._page_of(entry.source, Kind.NO_FRAME)
        if page is None:
            return
        at = entry.source.offset - page.start
        marks = page.marks[at]
        if marks & FRAME:
            page.inspections += 1
            # A second inspection only counts as a double: judged again after a crash, it always comes late.
            if not marks & INSPECTED and self._comes_late(entry):
                page.out_of_order += 1
                self._findings[Kind.OUT_OF_ORDER].add(entry.source)
        marks |= INSPECTED_AGAIN if marks & INSPECTED else INSPECTED
        if entry.failed:
            marks |= FAILED
        if entry.letter_due:
            marks |= LETTER_DUE
        page.marks[at] = marks

    def add_dead_letter(self, source: Position) -> None:
        """Add a record on `images.dlq`, by the frame that it names."""
        page = self._page_of(source, Kind.UNEXPLAINED_DEAD_LETTER)
        if page is None:
            return
        at = source.offset - page.start
        marks = page.marks[at]
        if marks & FRAME:
            page.dead_letters += 1
        page.marks[at] = marks | (LETTER_AGAIN if marks & LETTER else LETTER)

    def add_unreadable(self, position: Position) -> None:
        """Add a record on `results` or `images.dlq` that names no frame."""
        self._findings[Kind.UNREADABLE].add(position)

    def add_expired(self, partition: Partition, first: int, end: int) -> None:
        """Add the offsets from `first` to before `end`, which retention removed before they were judged."""
        finding = self._findings[Kind.EXPIRED]
        for offset in range(first, min(end, first + LIST_LIMIT)):
            finding.add(Position(*partition, offset))
        finding.count += max(0, end - first - LIST_LIMIT)

    def add_committed_past_end(self, committed: Position) -> None:
        """Add a committed offset that is past the end of its partition."""
        self._findings[Kind.COMMITTED_PAST_END].add(committed)

    def balance(self, *, oldest: Offsets, newest: Offsets) -> Balance:
        """Close the books.

        `oldest`, `newest`: first and end offsets of `images` after all topics were read. Older frames may have been
        removed meanwhile; newer ones do not exist.
        """
        for kind, positions in self._ahead.items():
            for position in sorted(positions):
                if position.offset >= newest.get(position.topic_partition, 0):
                    self._findings[kind].add(position)
        totals = [self._totals(page, oldest.get(page.partition, 0)) for _, page in sorted(self._pages.items())]
        return Balance(tuple(totals), self._findings, self._unordered)

    def _page_of(self, source: Position, stray: Kind) -> "_Page | None":
        """Return the page that has the position, or None; note a position that cannot hold a frame as `stray`."""
        page = self._pages.get(source.topic_partition)
        if page is None:
            if source.topic in self._topics:
                self._findings[stray].add(source)
            return None
        if source.offset >= page.end:
            self._add_ahead(stray, source)
            return None
        return page if source.offset >= page.start else None

    def _add_ahead(self, kind: Kind, position: Position) -> None:
        """Keep the positions that are furthest ahead; `balance` finds those past the end of their partition."""
        positions = self._ahead[kind]
        if len(positions) < LIST_LIMIT:
            heappush(positions, position)
        else:
            heappushpop(positions, position)

    def _comes_late(self, entry: InspectionEntry) -> bool:
        """Return True if a later frame of the camera has its inspection already."""
        if entry.camera is None:
            return False
        key = (entry.source.topic_partition, entry.partition, entry.camera)
        last = self._last_of_camera.get(key)
        if last is None:
            if len(self._last_of_camera) >= MAX_CAMERAS:
                self._unordered += 1
            else:
                self._last_of_camera[key] = entry.source.offset
            return False
        self._last_of_camera[key] = max(last, entry.source.offset)
        return entry.source.offset < last

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
    """Marks and counts of one partition of `images`."""

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
        """Yield first offset and marks piece by piece, so that looking at them takes little memory."""
        marks = np.frombuffer(self.marks, dtype=np.uint8)
        for at in range(0, len(marks), SCAN_BYTES):
            yield self.start + at, marks[at : at + SCAN_BYTES]


def _wrong(marks: np.ndarray, present: np.ndarray) -> dict[Kind, np.ndarray]:
    """Mark the wrong offsets of each kind. `present`: offsets that retention has not removed."""
    frame, inspected, letter = _have(marks, FRAME), _have(marks, INSPECTED), _have(marks, LETTER)
    no_frame = ~_have(marks, FRAME | OTHER) & present
    return {
        Kind.MISSING: frame & ~inspected,
        Kind.DOUBLE: frame & _have(marks, INSPECTED_AGAIN),
        Kind.NO_FRAME: no_frame & inspected,
        Kind.NO_DEAD_LETTER: frame & _have(marks, LETTER_DUE) & ~letter,
        Kind.DOUBLE_DEAD_LETTER: frame & _have(marks, LETTER_AGAIN),
        Kind.UNEXPLAINED_DEAD_LETTER: (frame | no_frame) & letter & ~_have(marks, FAILED),
    }


def _have(marks: np.ndarray, flags: int) -> np.ndarray:
    return (marks & flags).astype(bool)  # any of the flags
