"""Shapes of what pages of the review send."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import Field

from qc_dashboard.api.parameters.fields import Text, Time
from qc_dashboard.api.shapes.documented import STRICT
from qc_dashboard.api.shapes.judgement import GivenJudgement
from qc_dashboard.review.kinds import MAX_KINDS
from qc_dashboard.review.queue import MAX_LEASED
from qc_dashboard.review.wanted import ReviewOrder
from qc_worker.domain.frame import Position
from qc_worker.domain.inspection import Verdict

SESSION = "^[A-Za-z0-9_-]{16,64}$"
Session = Annotated[str, Field(pattern=SESSION)]
Kind = Annotated[str, Field(min_length=1, max_length=64)]


@dataclass(frozen=True, slots=True)
class GivenSource:
    """Position of a frame's record."""

    __pydantic_config__: ClassVar = STRICT

    topic: Annotated[str, Field(min_length=1, max_length=256)]
    """Topic."""
    partition: Annotated[int, Field(ge=0, lt=2**31)]
    """Partition."""
    offset: Annotated[int, Field(ge=0, lt=10**18)]
    """Offset."""

    @property
    def position(self) -> Position:
        return Position(self.topic, self.partition, self.offset)


@dataclass(frozen=True, slots=True)
class GivenSession:
    """Which page asks."""

    __pydantic_config__: ClassVar = STRICT

    session: Session
    """Random id of the open page: leases and undo belong to it, and to the person who is signed in."""


@dataclass(frozen=True, slots=True)
class GivenClaim(GivenSession):
    """Which frames a page wants."""

    line: Text | None = None
    """Production line; missing: all."""
    verdicts: Annotated[tuple[Verdict, ...], Field(max_length=len(Verdict))] = ()
    """Verdicts of the model, any of them; empty: all."""
    since: Time | None = None
    """Earliest time at which the frame was taken, included."""
    until: Time | None = None
    """Latest time at which the frame was taken, excluded."""
    order: ReviewOrder = ReviewOrder.OLDEST
    """Order in which frames are handed out."""
    count: Annotated[int, Field(ge=1, le=MAX_LEASED)] = 1
    """Most frames to have at a time: the one that is shown, and those that are loaded ahead."""


@dataclass(frozen=True, slots=True)
class GivenFrame(GivenSession):
    """A frame that the page has leased."""

    source: GivenSource
    """Position of the frame."""


@dataclass(frozen=True, slots=True)
class GivenWord:
    """What a person says about a frame that the page has leased."""

    __pydantic_config__: ClassVar = STRICT

    session: Session
    """Id of the page."""
    source: GivenSource
    """Position of the frame."""
    judgement: GivenJudgement
    """The person's judgement."""


@dataclass(frozen=True, slots=True)
class GivenKinds:
    """Kinds of defects of a line."""

    __pydantic_config__: ClassVar = STRICT

    line: Text
    """Production line."""
    kinds: Annotated[tuple[Kind, ...], Field(max_length=MAX_KINDS)]
    """Kinds in the order of their keys; empty: the kinds for all lines."""
