"""List a line's samples, and choose those that a person names."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from qc_worker.domain.errors import SettingsError, TrainingError
from qc_worker.domain.feedback import Judgement
from qc_worker.domain.names import LineName
from trainer.samples.card import SampleCard, Word
from trainer.samples.store import SampleStore

SHORTEST_PREFIX = 4
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Listed:
    """A sample and its card; None if the card cannot be read."""

    sample: str
    judgement: Judgement
    card: SampleCard | None

    @property
    def said_at(self) -> datetime:
        """Return the time of the last word, to sort by."""
        if self.card is None or self.card.last is None:
            return LONG_AGO
        at = self.card.last.at
        return at if at.tzinfo else at.replace(tzinfo=UTC)


def listed(store: SampleStore, line: LineName, wanted: str | None = None) -> list[Listed]:
    """List the line's samples by the time of their last word, newest last; `wanted`: a judgement or kind of defect."""
    found = [each for each in _all(store, line) if wanted is None or wanted in _labels(each)]
    return sorted(found, key=lambda each: (each.said_at, each.sample))


def chosen(store: SampleStore, line: LineName, names: list[str]) -> list[SampleCard]:
    """Find samples by their ids or the beginnings of these. Raises SettingsError or TrainingError."""
    if not names:
        raise SettingsError("name samples by their ids, or the first characters of these, as `samples` lists them")
    ids = {each.sample: each.judgement for each in _all(store, line)}
    return [store.card(line, ids[sample], sample) for sample in (_one(list(ids), name, line) for name in names)]


def removal(card: SampleCard, *, by: str, at: datetime) -> Word:
    """Make the word that holds a sample back."""
    return Word(judgement=Judgement.UNSURE, by=by, at=_latest(card, at))


def restoring(card: SampleCard, *, by: str, at: datetime) -> Word:
    """Make the word that repeats what a sample was before it was held back. Raises SettingsError."""
    before = next((word for word in reversed(card.history) if word.judgement is not Judgement.UNSURE), None)
    if before is None:
        raise SettingsError(f"sample {card.sha256} was neither good nor a defect before: judge it as one of them first")
    return before.model_copy(update={"by": by, "at": _latest(card, at), "source": None})


def _all(store: SampleStore, line: LineName) -> Iterator[Listed]:
    for judgement in Judgement:
        for sample in store.ids(line, judgement):
            try:
                yield Listed(sample, judgement, store.card(line, judgement, sample))
            except TrainingError:
                yield Listed(sample, judgement, None)


def _labels(each: Listed) -> set[str | None]:
    return {each.judgement.value, each.card.kind if each.card else None}


def _one(ids: list[str], name: str, line: LineName) -> str:
    found = [sample for sample in ids if sample.startswith(name)] if len(name) >= SHORTEST_PREFIX else []
    if len(found) == 1:
        return found[0]
    happened = f"{len(found)} samples begin with {name!r}" if found else f"no sample begins with {name!r}"
    raise SettingsError(f"line {line}: {happened}: give more of an id ({SHORTEST_PREFIX} characters at least)")


def _latest(card: SampleCard, at: datetime) -> datetime:
    """Return a time that is not before the last word: it would not count otherwise."""
    return max(at, card.last.at) if card.last else at
