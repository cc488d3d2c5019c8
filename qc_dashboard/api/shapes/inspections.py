"""Shapes of inspections in answers: in a list, whole, and a page of them."""

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar
from urllib.parse import quote

from qc_dashboard.api.shapes.documented import DOCUMENTED
from qc_dashboard.history.search import StoredInspection
from qc_dashboard.history.times import from_us
from qc_dashboard.outcomes.outcome import JudgementOutcome
from qc_worker.domain.frame import Position
from qc_worker.domain.inspection import Inspection, Verdict

BASE = "/api/v1/inspections"


@dataclass(frozen=True, slots=True)
class Links:
    """Paths of what belongs to one inspection."""

    __pydantic_config__: ClassVar = DOCUMENTED

    inspection: str
    """The whole inspection."""
    neighbours: str
    """Inspections of the same line and camera, before and after it."""
    feedback: str
    """Where judgements are sent."""
    frame: str
    """The frame as JPEG."""
    heatmap: str
    """The heatmap over the frame as PNG; not every inspection has one."""


@dataclass(frozen=True, slots=True)
class ListedInspection:
    """An inspection as lists and streams have it."""

    __pydantic_config__: ClassVar = DOCUMENTED

    source: Position
    """Topic, partition and offset of the frame: identifies the inspection."""
    taken_at: datetime
    """Capture time, or that of the verdict if it is not known, UTC."""
    scored_at: datetime
    """Time of the verdict, UTC."""
    line: str | None
    """Production line; null if the frame names none."""
    camera: str | None
    """Camera; null if the frame names none."""
    frame_id: str | None
    """The camera's id of the frame."""
    part: str | None
    """Serial number of the part."""
    verdict: Verdict
    """Decision on what happens to the part."""
    reason: str | None
    """Reason why the frame could not be judged."""
    model_version: str | None
    """Version of the model that judged."""
    score: float | None
    """Anomaly score."""
    p_value: float | None
    """Share of held-out good frames at least this unusual."""
    threshold: float | None
    """Threshold of the score."""
    late: bool
    """True if the verdict came after the frame's deadline."""
    links: Links
    """Paths of what belongs to it."""


@dataclass(frozen=True, slots=True)
class InspectionPage:
    """A page of a search."""

    __pydantic_config__: ClassVar = DOCUMENTED

    inspections: tuple[ListedInspection, ...]
    """Inspections in the order asked for."""
    next: str | None
    """Cursor of the following page; null if this is the last one."""


@dataclass(frozen=True, slots=True)
class WholeInspection:
    """Everything about one inspection."""

    __pydantic_config__: ClassVar = DOCUMENTED

    inspection: Inspection
    """The inspection as it was published on `results`."""
    taken_at: datetime
    """Capture time, or that of the verdict if it is not known, UTC."""
    results_partition: int
    """Partition of `results` on which it lies."""
    results_offset: int
    """Offset there."""
    feedback: tuple[JudgementOutcome, ...]
    """Judgements of people, oldest first, each with what became of it; the last one counts."""
    links: Links
    """Paths of what belongs to it."""


@dataclass(frozen=True, slots=True)
class NeighbourList:
    """Inspections of the same line and camera, nearest in time first."""

    __pydantic_config__: ClassVar = DOCUMENTED

    before: tuple[ListedInspection, ...]
    """Taken before it."""
    after: tuple[ListedInspection, ...]
    """Taken after it."""


def links_of(source: Position) -> Links:
    """Make the paths of one inspection."""
    own = f"{BASE}/{quote(source.topic, safe='')}/{source.partition}/{source.offset}"
    return Links(own, f"{own}/neighbours", f"{own}/feedback", f"{own}/frame.jpg", f"{own}/heatmap.png")


def listed(stored: StoredInspection) -> ListedInspection:
    """Make a list's entry."""
    return ListedInspection(
        source=stored.source,
        taken_at=from_us(stored.taken_us),
        scored_at=from_us(stored.scored_us),
        line=stored.line,
        camera=stored.camera,
        frame_id=stored.frame_id,
        part=stored.part,
        verdict=stored.verdict,
        reason=stored.reason,
        model_version=stored.model_version,
        score=stored.score,
        p_value=stored.p_value,
        threshold=stored.threshold,
        late=stored.late,
        links=links_of(stored.source),
    )
