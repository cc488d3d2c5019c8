"""People's verdicts on frames."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import ClassVar

from qc_worker.domain.frame import Position
from qc_worker.domain.inspection import SCHEMA_VERSION

MAX_BOXES = 64
"""Most boxes that one verdict marks."""

_DOCUMENTED: dict[str, bool] = {"use_attribute_docstrings": True}


class Judgement(StrEnum):
    """A person's verdict on a part."""

    GOOD = "good"
    DEFECT = "defect"
    UNSURE = "unsure"
    """The frame is held back: it is no sample, and no sample any more."""


@dataclass(frozen=True, slots=True)
class MarkedBox:
    """A rectangle that a person drew around a defect, in pixels of the original image."""

    __pydantic_config__: ClassVar = _DOCUMENTED

    x: int
    """Left edge, pixels."""
    y: int
    """Top edge, pixels."""
    width: int
    """Width, pixels."""
    height: int
    """Height, pixels."""


@dataclass(frozen=True, slots=True)
class Feedback:
    """A person's verdict on a frame. Of several on one frame the latest counts.

    A good frame becomes a sample of its line, a defect a labelled image for tests.
    """

    __pydantic_config__: ClassVar = _DOCUMENTED

    line: str
    """Production line of the frame."""
    frame_id: str
    """The camera's id of the frame."""
    source: Position
    """Topic, partition and offset of the frame, as in its inspection."""
    verdict: Judgement
    """The person's verdict."""
    accepted_by: str
    """Name of the person."""
    accepted_at: datetime
    """Time of the verdict, UTC."""
    model_version: str | None = None
    """Version of the model whose inspection the person saw; null if no model judged the frame, or it is not known."""
    kind: str | None = None
    """Kind of the defect, such as `scratch`; null if it is not known, and for other verdicts."""
    boxes: tuple[MarkedBox, ...] = ()
    """Rectangles around the defect, 64 at most; empty if none were drawn, and for other verdicts."""
    schema_version: str = SCHEMA_VERSION
    """Version of this schema; a new major number means that fields changed their meaning."""
