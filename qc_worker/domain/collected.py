"""What the trainer made of people's verdicts on frames."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import ClassVar

from qc_worker.domain.frame import Position
from qc_worker.domain.inspection import SCHEMA_VERSION

_DOCUMENTED: dict[str, bool] = {"use_attribute_docstrings": True}


class Collection(StrEnum):
    """Outcome of one verdict when the trainer collected it."""

    SAMPLE = "sample"
    """The frame is a sample, as this verdict says: good ones are trained on, defects are measured on."""
    HELD_BACK = "held_back"
    """The frame is no sample, or no sample any more: the person was unsure."""
    REPLACED = "replaced"
    """A later verdict on the frame was there already."""
    EXPIRED = "expired"
    """Refused: retention had removed the frame, and it was no sample before."""
    MISMATCHED = "mismatched"
    """Refused: the record at that position is not the frame that the verdict names."""
    UNDECODABLE = "undecodable"
    """Refused: the frame is not a readable picture."""


REFUSED = frozenset({Collection.EXPIRED, Collection.MISMATCHED, Collection.UNDECODABLE})


@dataclass(frozen=True, slots=True)
class Collected:
    """Outcome of one verdict, published by the trainer that collected it.

    Line, frame, time and person name the verdict. A trainer that is interrupted may publish an outcome twice.
    """

    __pydantic_config__: ClassVar = _DOCUMENTED

    line: str
    """Production line."""
    source: Position
    """Topic, partition and offset of the frame."""
    accepted_by: str
    """Name of the person."""
    accepted_at: datetime
    """Time of the verdict, UTC."""
    outcome: Collection
    """Outcome of the verdict."""
    collected_at: datetime
    """Time at which the sample store had it, UTC."""
    sample: str | None = None
    """SHA-256 of the frame's bytes, as model cards list their samples; null if the verdict was refused."""
    schema_version: str = SCHEMA_VERSION
    """Version of this schema; a new major number means that fields changed their meaning."""
