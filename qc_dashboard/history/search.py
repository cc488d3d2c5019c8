"""What a search asks for, and the place in the order of time from which it continues."""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, NamedTuple

from qc_worker.domain.frame import Position
from qc_worker.domain.inspection import Inspection, Verdict
from qc_worker.wire.json_types import decode_inspection


class Order(StrEnum):
    """Order by time, then by source."""

    NEWEST = "newest"
    OLDEST = "oldest"


@dataclass(frozen=True, slots=True)
class Search:
    """Conditions that an inspection must meet, all of them; what is None or empty is no condition."""

    line: str | None = None
    camera: str | None = None
    verdicts: tuple[Verdict, ...] = ()
    model_version: str | None = None
    part: str | None = None
    frame_id: str | None = None
    since_us: int | None = None
    """Earliest time, included."""
    until_us: int | None = None
    """Latest time, excluded."""
    min_score: float | None = None
    """Lowest score, included."""
    max_score: float | None = None
    """Highest score, included."""


class Place(NamedTuple):
    """A place in the order of time: that of an inspection which a page ended with."""

    taken_us: int
    source: Position

    def __str__(self) -> str:
        return f"{self.taken_us}:{self.source}"

    @classmethod
    def parse(cls, text: str) -> "Place":
        """Parse what `str` has written. Raises ValueError."""
        taken_us, _, source = text.partition(":")
        digits = taken_us.removeprefix("-")
        if not (digits.isascii() and digits.isdigit() and len(digits) < 19):
            raise ValueError(f"{text[:300]!r} is not a place: expected microseconds:topic:partition:offset")
        return cls(int(taken_us), Position.parse(source))


@dataclass(frozen=True, slots=True)
class StoredInspection:
    """An inspection as the history has it."""

    source: Position
    results_partition: int
    results_offset: int
    taken_us: int
    """Capture time, or that of the verdict if it is not known; microseconds since 1970, UTC."""
    scored_us: int
    line: str | None
    camera: str | None
    frame_id: str | None
    part: str | None
    verdict: Verdict
    reason: str | None
    model_version: str | None
    score: float | None
    p_value: float | None
    threshold: float | None
    late: bool
    document: str
    """The inspection as `results` carries it, JSON."""

    @property
    def place(self) -> Place:
        return Place(self.taken_us, self.source)

    @property
    def inspection(self) -> Inspection:
        """The whole inspection, decoded."""
        return decode_inspection(self.document.encode())

    @classmethod
    def of_row(cls, row: Any) -> "StoredInspection":
        """Make it of a row of the table, whose columns are in its order."""
        topic, partition, offset, *fields = row
        stored = cls(Position(topic, partition, offset), *fields)
        return replace(stored, verdict=Verdict(stored.verdict), late=bool(stored.late))
