"""Operators' verdicts on frames."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import ClassVar

from qc_worker.domain.frame import Position

_DOCUMENTED: dict[str, bool] = {"use_attribute_docstrings": True}


class Judgement(StrEnum):
    """A person's verdict on a part."""

    GOOD = "good"
    DEFECT = "defect"


@dataclass(frozen=True, slots=True)
class Feedback:
    """An operator's verdict on a frame; a good one becomes a sample of its line."""

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
