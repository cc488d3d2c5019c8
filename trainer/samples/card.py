"""The card of a sample: its origins, and every word that people said about it. The last word counts."""

from datetime import datetime

from pydantic import BaseModel

from qc_worker.domain.feedback import Judgement, MarkedBox
from qc_worker.domain.frame import Position


class Origin(BaseModel, frozen=True, extra="forbid"):
    """Origin of a sample: an imported file, or a frame by its position."""

    imported: str | None = None
    position: Position | None = None
    frame_id: str | None = None
    part: str | None = None
    accepted_by: str
    accepted_at: datetime
    folder: str | None = None
    """Last two parts of the imported folder's path, such as `monday/good`."""
    captured_at: datetime | None = None
    """Capture time from the frame's headers, or from the file's EXIF read as UTC."""
    modified_at: datetime | None = None
    """Modification time of the imported file, UTC."""


class Word(BaseModel, frozen=True, extra="forbid"):
    """A person's judgement: who, when, and on which inspection."""

    judgement: Judgement
    by: str
    at: datetime
    source: Position | None = None
    """Position of the frame, which identifies its inspection; None for an import or a command."""
    model_version: str | None = None
    """Version whose inspection the person saw."""
    kind: str | None = None
    boxes: tuple[MarkedBox, ...] = ()


class SampleCard(BaseModel, frozen=True, extra="forbid"):
    """The JSON file beside a sample."""

    sha256: str
    judgement: Judgement
    """The judgement of the last word."""
    origins: tuple[Origin, ...]
    words: tuple[Word, ...] = ()
    """Everything that was said, in the order of time; empty on cards from before."""
    coarse_mask: bool = False
    """True if the mask was made of boxes."""

    @property
    def history(self) -> tuple[Word, ...]:
        """Return everything that was said; on cards from before, what their origins tell."""
        if self.words or not self.origins:
            return self.words
        first = self.origins[0]
        word = Word(judgement=self.judgement, by=first.accepted_by, at=first.accepted_at, source=first.position)
        return (word,)

    @property
    def last(self) -> Word | None:
        """Return the last word; None if a card from before names no origin."""
        history = self.history
        return history[-1] if history else None

    @property
    def kind(self) -> str | None:
        """Return the kind of the defect that the last word names."""
        return self.last.kind if self.last else None


def said(card: SampleCard | None, sample: str, word: Word, origin: Origin | None) -> SampleCard:
    """Add a word, and an origin if there is one, to a card or a new one. What was said before is not said twice."""
    words = card.history if card else ()
    last = words[-1] if words else None
    repeats = (
        last is not None and word.source is None and last.judgement is word.judgement and word.kind in (None, last.kind)
    )
    if word not in words and not repeats:
        words = tuple(sorted((*words, word), key=lambda each: each.at))
    return SampleCard(
        sha256=sample,
        judgement=words[-1].judgement,
        origins=_with_origin(card.origins if card else (), origin),
        words=words,
        coarse_mask=card.coarse_mask if card else False,
    )


def _with_origin(origins: tuple[Origin, ...], origin: Origin | None) -> tuple[Origin, ...]:
    if origin is None:
        return origins
    known = {_place(each): each for each in origins}
    # A known origin keeps its values and gets only the fields that it lacks: older cards have no times.
    completed = origin.model_copy(update=_stated(known.get(_place(origin))))
    return tuple({**known, _place(origin): completed}.values())


def _place(origin: Origin) -> tuple[str | None, Position | None]:
    return origin.imported, origin.position


def _stated(origin: Origin | None) -> dict[str, object]:
    """Return the fields that have a value, by name."""
    return {} if origin is None else {name: value for name, value in origin if value is not None}
