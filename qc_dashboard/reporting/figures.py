"""Figures of lines in a span of time, as a report has them: on the page, in JSON, in CSV, printed by the command."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, ClassVar

from pydantic import Field

from qc_dashboard.reporting.estimates import Estimate
from qc_dashboard.reporting.shape import SHAPE
from qc_worker.domain.frame import Position
from qc_worker.domain.inspection import Verdict

ASSUMPTIONS = (
    "A person's last word on a frame is the truth; frames with `unsure` count as not reviewed.",
    "Rejects: those reviewed are like those that were not. If the most doubtful were reviewed first and not all were, "
    "false rejects are estimated too high. `wrong` is what is known without any assumption.",
    "Escapes: only passes that were offered for review count, chosen by their position, so at random; those of them "
    "that were judged are like those that were not. A defect that nobody can see on the frame is no escape here.",
    "Intervals hold with 95 % confidence: Clopper-Pearson, for drawing without replacement. If the share of offered "
    "passes was changed within the span, its parts count with their weights, which are estimated.",
)


@dataclass(frozen=True, slots=True)
class ReportSpan:
    """What a report is about: lines, from a time, included, to a time, excluded."""

    __pydantic_config__: ClassVar = SHAPE

    lines: tuple[str, ...]
    """Lines; none: all of them, and frames that name no line."""
    since: Annotated[datetime, Field(alias="from")]
    """Start, included."""
    until: Annotated[datetime, Field(alias="to")]
    """End, excluded."""


@dataclass(frozen=True, slots=True)
class Counted:
    """A name and the number of frames that it stands for."""

    __pydantic_config__: ClassVar = SHAPE

    name: str
    """Name; `others` at the end sums up those that are too rare for the list."""
    frames: int
    """Number of frames."""
    share: float
    """Share of all that are listed."""
    cumulative: float
    """Share of this one and those before it."""


@dataclass(frozen=True, slots=True)
class LineFigures:
    """Inspections of one line."""

    __pydantic_config__: ClassVar = SHAPE

    line: str | None
    """Line; null: frames that name none."""
    frames: int
    """Number of inspections."""
    by_verdict: dict[Verdict, int]
    """Number by verdict."""
    pass_share: float | None
    """Yield: passes among passes, reviews and rejects; null without any of them."""


@dataclass(frozen=True, slots=True)
class VersionUsed:
    """A model version that judged frames in the span."""

    __pydantic_config__: ClassVar = SHAPE

    line: str | None
    """Line."""
    version: str
    """Version."""
    frames: int
    """Number of frames that it judged."""
    first: datetime
    """Time of the first one, UTC."""
    last: datetime
    """Time of the last one, UTC."""


@dataclass(frozen=True, slots=True)
class Reviewed:
    """What people said about frames with one verdict of the model."""

    __pydantic_config__: ClassVar = SHAPE

    verdict: Verdict
    """The model's verdict."""
    frames: int
    """Number of frames with it."""
    good: int
    """Number of those that people called good."""
    defect: int
    """Number of those that people called a defect."""
    unsure: int
    """Number of those that people were unsure about."""

    @property
    def decided(self) -> int:
        return self.good + self.defect


@dataclass(frozen=True, slots=True)
class DefectMap:
    """How many defects of a camera lie where on the picture: the boxes of rejects and reviews that nobody called good.

    A defect counts in each cell that its box touches.
    """

    __pydantic_config__: ClassVar = SHAPE

    line: str | None
    """Line."""
    camera: str
    """Camera; empty: frames that name none."""
    defects: int
    """Number of defects."""
    frames: int
    """Number of frames that the map consists of."""
    counts: tuple[tuple[int, ...], ...]
    """Rows from top to bottom, each from left to right, over the whole picture."""
    image_size: tuple[int, int] | None
    """Height and width of the newest picture; null if it is not known."""
    picture: Position | None
    """Newest of these frames that the archive has; null if it has none of the newest ones."""


@dataclass(frozen=True, slots=True)
class MissingData:
    """A span of time for which the history lacks inspections, all or some."""

    __pydantic_config__: ClassVar = SHAPE

    since: Annotated[datetime | None, Field(alias="from")]
    """Start, UTC; null: the history has nothing before it."""
    until: Annotated[datetime | None, Field(alias="to")]
    """End, UTC; null: it has not ended."""
    reason: str
    """Reason in a sentence."""
    records: int | None
    """Largest number of inspections that are missing; null if it is not known."""
    is_lost: bool
    """True if they are lost; false if they may still come."""


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of one span."""

    __pydantic_config__: ClassVar = SHAPE

    span: ReportSpan
    """Lines and time."""
    missing: tuple[MissingData, ...]
    """Spans within it that the figures lack."""
    frames: int
    """Number of inspections."""
    by_verdict: dict[Verdict, int]
    """Number by verdict."""
    pass_share: float | None
    """Yield: passes among passes, reviews and rejects; null without any of them."""
    late: int
    """Verdicts that came after the frame's deadline."""
    errors_by_reason: dict[str, int]
    """Frames that could not be judged, by reason."""
    by_line: tuple[LineFigures, ...]
    """The same by line."""
    versions: tuple[VersionUsed, ...]
    """Versions that judged, by line, oldest first."""
    by_kind: tuple[Counted, ...]
    """Defects that people confirmed, by kind, most frequent first."""
    by_camera: tuple[Counted, ...]
    """Rejects and reviews by camera, most frequent first; of several lines, each name begins with the line."""
    kinds_of_cameras: dict[str, dict[str, int]]
    """Confirmed defects of each camera by kind."""
    reviewed: tuple[Reviewed, ...]
    """What people said, by the model's verdict."""
    false_rejects: Estimate
    """Good parts among the rejects."""
    escapes: Estimate
    """Defects among the passes."""
    maps: tuple[DefectMap, ...]
    """Map of each camera, those with most defects first."""
    mapped_frames: int
    """Rejects and reviews that the maps consist of, the newest; fewer than there are in a long span."""
    assumptions: tuple[str, ...] = field(default=ASSUMPTIONS)
    """What the estimates take for granted."""
