"""Figures of a line in a span of time, as a report has them."""

from dataclasses import dataclass

from qc_dashboard.reporting.estimates import Estimate
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
    """What a report is about: one line, from a time, included, to a time, excluded; microseconds since 1970."""

    line: str
    since_us: int
    until_us: int


@dataclass(frozen=True, slots=True)
class Counted:
    """A name and the number of frames that it stands for."""

    name: str
    frames: int
    share: float
    """Share of all that are listed."""
    cumulative: float
    """Share of this one and those before it."""


@dataclass(frozen=True, slots=True)
class VersionUsed:
    """A model version that judged frames in the span."""

    version: str
    frames: int
    first_us: int
    last_us: int


@dataclass(frozen=True, slots=True)
class Reviewed:
    """What people said about frames with one verdict of the model."""

    verdict: Verdict
    frames: int
    good: int
    defect: int
    unsure: int

    @property
    def decided(self) -> int:
        return self.good + self.defect


@dataclass(frozen=True, slots=True)
class DefectMap:
    """How many defects of a camera lie where on the picture: the boxes of rejects and reviews that nobody called good.

    A defect counts in each cell that its box touches.
    """

    camera: str
    defects: int
    frames: int
    counts: tuple[tuple[int, ...], ...]
    """Rows from top to bottom, each from left to right, over the whole picture."""


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of one span."""

    span: ReportSpan
    frames: int
    by_verdict: dict[Verdict, int]
    pass_share: float | None
    """Yield: passes among passes, reviews and rejects; None without any of them."""
    late: int
    errors_by_reason: dict[str, int]
    versions: tuple[VersionUsed, ...]
    by_kind: tuple[Counted, ...]
    """Defects that people confirmed, by kind, most frequent first."""
    by_camera: tuple[Counted, ...]
    """Rejects and reviews by camera, most frequent first."""
    kinds_of_cameras: dict[str, dict[str, int]]
    """Confirmed defects of each camera by kind."""
    reviewed: tuple[Reviewed, ...]
    false_rejects: Estimate
    escapes: Estimate
    maps: tuple[DefectMap, ...]
    mapped_frames: int
    """Rejects and reviews that the maps consist of, the newest; fewer than there are in a long span."""
