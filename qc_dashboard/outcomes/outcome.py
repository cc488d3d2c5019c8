"""What became of a person's judgement: from the message to a live version that learned from it."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import ClassVar

from qc_worker.domain.collected import Collection
from qc_worker.domain.feedback import Feedback

_DOCUMENTED: dict[str, bool] = {"use_attribute_docstrings": True}


class Stage(StrEnum):
    """How far a judgement has come."""

    WAITING = "waiting"
    """Kept by the dashboard: the broker has not taken it yet."""
    SENT = "sent"
    """On `feedback`; no trainer has collected it yet."""
    REFUSED = "refused"
    """The trainer could not use it; `collection` says why."""
    REPLACED = "replaced"
    """A later judgement on the frame says something else."""
    HELD_BACK = "held_back"
    """The frame is no sample: the person was unsure."""
    SAMPLE = "sample"
    """The frame is a sample. Good ones are used by the next retrain, defects to measure with."""
    TRAINED = "trained"
    """A released version was trained on it, and has judged no frame yet."""
    LIVE = "live"
    """A version that was trained on it has judged frames."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a judgement. Times are UTC; each is null as long as that has not happened."""

    __pydantic_config__: ClassVar = _DOCUMENTED

    stage: Stage
    """How far it has come."""
    collection: Collection | None = None
    """What the trainer made of it when it collected it."""
    collected_at: datetime | None = None
    """Time at which the trainer's sample store had it."""
    sample: str | None = None
    """SHA-256 of the frame's bytes, which is the sample's id."""
    replaced_by: str | None = None
    """Person whose later judgement replaced it; null if none did, or if an engineer did on the trainer's machine."""
    replaced_at: datetime | None = None
    """Time of that judgement."""
    version: str | None = None
    """First released version that was trained on the sample after it was collected; of a good one only."""
    trained_at: datetime | None = None
    """Time at which its training ended."""
    released_at: datetime | None = None
    """Time at which it was announced."""
    live_at: datetime | None = None
    """Time of its first verdict."""
    seconds_to_live: float | None = None
    """Seconds from the judgement to the first verdict of a version that learned from it."""
    in_live_version: bool | None = None
    """True if the line's live version was trained on the sample; null if it is not known, or there is no sample."""
    unread_version: str | None = None
    """Released version of which it is not known if it was trained on the sample: its model card could not be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgementOutcome(Feedback):
    """A person's judgement, and what became of it."""

    __pydantic_config__: ClassVar = _DOCUMENTED

    outcome: Outcome
    """What became of it."""
