"""Who reviews, what they want to see, what they get, and what they say."""

from dataclasses import dataclass
from enum import StrEnum

from qc_worker.domain import names
from qc_worker.domain.errors import QcError
from qc_worker.domain.feedback import Judgement, MarkedBox
from qc_worker.domain.frame import Position
from qc_worker.domain.inspection import Verdict

MAX_SESSION_CHARACTERS = 128


class ReviewError(QcError):
    """What a reviewer asked for cannot be done; the message says why."""


class UnknownFrame(ReviewError):
    """The history has no inspection of that frame, or it names no line or frame id."""


class LeaseLost(ReviewError):
    """The frame is not leased to this session any more: somebody else may have it, or has judged it."""


class WordRefused(ReviewError):
    """A judgement that is not valid: its kind is not in the line's list, or its boxes are not boxes."""


class CannotUndo(ReviewError):
    """This session has said nothing that it could take back, or somebody else has spoken since."""


class ReviewOrder(StrEnum):
    """Order in which frames are handed out."""

    OLDEST = "oldest"
    DOUBTFUL = "doubtful"
    """Nearest to the threshold first."""
    VERDICT = "verdict"
    """Reviews, then rejects, then passes; of each the oldest first."""
    LINE = "line"
    """Line by line; of each the oldest first."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Frames that a reviewer wants to judge; what is None or empty is no condition."""

    line: str | None = None
    verdicts: tuple[Verdict, ...] = ()
    since_us: int | None = None
    """Earliest time, included."""
    until_us: int | None = None
    """Latest time, excluded."""
    order: ReviewOrder = ReviewOrder.OLDEST


@dataclass(frozen=True, slots=True)
class Reviewer:
    """A person at one open page."""

    session: str
    """Id of the page or the session, at most 128 characters: leases and undo belong to it."""
    person: str

    def __post_init__(self) -> None:
        """Check both. Raises ValueError."""
        for text in (self.session, names.person_name(self.person)):
            if not (0 < len(text) <= MAX_SESSION_CHARACTERS and text.isprintable()):
                raise ValueError(f"{text[:80]!r} is not the name of a person or a session: use printable characters")


@dataclass(frozen=True, slots=True)
class Leased:
    """A frame that one session alone has, until its lease expires."""

    source: Position
    line: str
    verdict: Verdict
    """The model's."""
    taken_us: int
    doubt: float
    """1: the score lies on the threshold, 0: far from it; random for passes."""
    share: float
    """Share of frames of this verdict that is offered: 1 but for passes."""
    leased_until_us: int
    said: Judgement | None
    """The last word on the frame: None, or the earlier one if a word was just taken back."""


@dataclass(frozen=True, slots=True)
class Left:
    """How much of what is wanted is left."""

    open: int
    """Frames that nobody has judged, those leased and skipped included."""
    leased_by_others: int
    skipped: int
    """Those that this session has skipped."""


@dataclass(frozen=True, slots=True)
class Word:
    """What a person says about a frame."""

    verdict: Judgement
    kind: str | None = None
    """Kind of the defect, of the line's list; None for other verdicts."""
    boxes: tuple[MarkedBox, ...] = ()


@dataclass(frozen=True, slots=True)
class Said:
    """A word that is stored and will be sent; `source`, `accepted_us` and `accepted_by` identify it everywhere."""

    id: int
    source: Position
    line: str
    word: Word
    accepted_us: int
    accepted_by: str
    model_version: str | None
    sent: bool
