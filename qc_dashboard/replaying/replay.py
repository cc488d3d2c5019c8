"""A frame that is judged again, aside: nothing is published, so no count changes."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import ClassVar

from qc_worker.domain.frame import Position
from qc_worker.domain.inspection import Inspection

_DOCUMENTED: dict[str, bool] = {"use_attribute_docstrings": True}


class ReplayState(StrEnum):
    """How far a replay is."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Replay:
    """One frame judged again, as `qc-worker replay` does it."""

    __pydantic_config__: ClassVar = _DOCUMENTED

    source: Position
    """Topic, partition and offset of the frame."""
    version: str | None
    """Version that was asked for; null: the one that judged it first."""
    asked_by: str
    """Name of the person."""
    asked_at: datetime
    """Time of the request, UTC."""
    state: ReplayState = ReplayState.WAITING
    """How far it is; replays run one after the other."""
    same: bool | None = None
    """True if verdict and reason are equal and the scores differ by no more than the tolerance; null: not compared."""
    score_difference: float | None = None
    """Difference of the scores."""
    tolerance: float | None = None
    """Largest difference that counts as equal."""
    other_format: str | None = None
    """Sentence about number formats that differ."""
    replayed: Inspection | None = None
    """The second judgement."""
    failure: str | None = None
    """Sentence about why it failed."""
