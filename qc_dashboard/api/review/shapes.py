"""Shapes of what pages of the review get."""

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from qc_dashboard.api.shapes.documented import DOCUMENTED
from qc_dashboard.api.shapes.inspections import Links, ListedInspection, WholeInspection
from qc_worker.domain.feedback import Judgement, MarkedBox
from qc_worker.domain.frame import Position
from qc_worker.domain.inspection import Verdict


@dataclass(frozen=True, slots=True)
class LineKindList:
    """Kinds of defects that may be named on a line."""

    __pydantic_config__: ClassVar = DOCUMENTED

    line: str
    """Production line."""
    kinds: tuple[str, ...]
    """Kinds in the order of their keys."""


@dataclass(frozen=True, slots=True)
class ReviewFrame:
    """A frame that one page alone has, until its lease ends."""

    __pydantic_config__: ClassVar = DOCUMENTED

    source: Position
    """Position of the frame."""
    line: str
    """Production line."""
    verdict: Verdict
    """The model's verdict."""
    doubt: float
    """1: the score lies on the threshold; 0: far from it. Random for passes."""
    share: float
    """Share of the frames of this verdict that is offered: 1 but for passes, which are a random sample."""
    leased_until: datetime
    """End of the lease, UTC; claiming and renewing extend it."""
    said: Judgement | None
    """The word that counts: null, or an earlier one if a word was just taken back."""
    kinds: tuple[str, ...]
    """Kinds of defects of its line."""
    whole: WholeInspection
    """The inspection, and what people said about it."""


@dataclass(frozen=True, slots=True)
class LeftToReview:
    """How much of what is wanted is left."""

    __pydantic_config__: ClassVar = DOCUMENTED

    open: int
    """Frames that nobody has judged, those leased and skipped included."""
    leased_by_others: int
    """Those of them that other pages have."""
    skipped: int
    """Those of them that this page has skipped."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """What a page has now."""

    __pydantic_config__: ClassVar = DOCUMENTED

    frames: tuple[ReviewFrame, ...]
    """All frames of the page: those that it had before come first."""
    left: LeftToReview
    """How much is left."""
    lease_s: float
    """Seconds after which frames go to others, unless the page claims or renews."""
    unsent: int
    """Words of all people that are stored and wait to be sent to `feedback`."""


@dataclass(frozen=True, slots=True)
class Renewed:
    """Leases that a page still has."""

    __pydantic_config__: ClassVar = DOCUMENTED

    leased: int
    """Number of its frames; fewer than before: others may have got them."""


@dataclass(frozen=True, slots=True)
class Returned:
    """Frames that went back into the queue for this page."""

    __pydantic_config__: ClassVar = DOCUMENTED

    frames: int
    """Number of frames."""


@dataclass(frozen=True, slots=True)
class ReviewWord:
    """A word that is stored, and is sent to `feedback` until the broker has it."""

    __pydantic_config__: ClassVar = DOCUMENTED

    id: int
    """Number of the word."""
    source: Position
    """Position of the frame."""
    line: str
    """Production line."""
    verdict: Judgement
    """The person's verdict."""
    kind: str | None
    """Kind of the defect."""
    boxes: tuple[MarkedBox, ...]
    """Rectangles around the defect."""
    accepted_at: datetime
    """Time of the word, UTC; with source and person it identifies the word everywhere."""
    accepted_by: str
    """Name of the person."""
    model_version: str | None
    """Version of the model whose inspection the person saw."""
    sent: bool
    """True once the broker has it."""
    undone: bool
    """True if it was taken back."""
    links: Links
    """Paths of what belongs to the frame's inspection."""


@dataclass(frozen=True, slots=True)
class ReviewWords:
    """The last words of a page."""

    __pydantic_config__: ClassVar = DOCUMENTED

    words: tuple[ReviewWord, ...]
    """Words, newest first."""
    unsent: int
    """Words of all people that wait to be sent."""


@dataclass(frozen=True, slots=True)
class Undone:
    """A word that was taken back."""

    __pydantic_config__: ClassVar = DOCUMENTED

    said: ReviewWord
    """What is said instead: the word before it, or `unsure`."""
    frame: ReviewFrame | None
    """The frame, leased to the page again; null if it is not of the queue."""


@dataclass(frozen=True, slots=True)
class ReviewersWork:
    """What one person has said in the span."""

    __pydantic_config__: ClassVar = DOCUMENTED

    person: str
    """Name of the person."""
    good: int
    """Words `good`, without those taken back."""
    defect: int
    """Words `defect`."""
    unsure: int
    """Words `unsure`."""
    undone: int
    """Words that the person has taken back."""
    mean_looked_s: float | None
    """Mean seconds from getting a frame to the word on it; null if no frame came from the queue."""
    first_at: datetime
    """Time of the first of them, UTC."""
    last_at: datetime
    """Time of the last of them, UTC."""


@dataclass(frozen=True, slots=True)
class ReviewFigures:
    """What is left, and who has said how much."""

    __pydantic_config__: ClassVar = DOCUMENTED

    open: int
    """Frames that nobody has judged, now."""
    leased: int
    """Those of them that somebody looks at, now."""
    unsent: int
    """Words of all people that wait to be sent, now."""
    gone: int
    """Frames that left the queue in the span because their picture was gone before anybody had judged them."""
    people: tuple[ReviewersWork, ...]
    """People in alphabetical order, with what they said in the span."""


@dataclass(frozen=True, slots=True)
class GoodFrame:
    """A good frame that looks like another one."""

    __pydantic_config__: ClassVar = DOCUMENTED

    inspection: ListedInspection
    """Its inspection."""
    distance: float
    """How far it looks from the other one: 0 is the same picture."""
    judged: bool
    """True if a person called it good; else the model passed it, and nobody has objected."""


@dataclass(frozen=True, slots=True)
class NearestGood:
    """Archived good frames of the line that look most like a frame, those of its camera first."""

    __pydantic_config__: ClassVar = DOCUMENTED

    frames: tuple[GoodFrame, ...]
    """Most alike first; fewer than asked for if the archive has no more."""
