"""Store a line's judged images, each once, under the SHA-256 of its bytes.

`<folder>/<line>/<good|defect|unsure>/<sha256>` holds the original bytes, `<sha256>.json` is the card with their origins
and everything that people said, and a defect may have `<sha256>.mask.png`. The card is written last: a sample exists
exactly if its card exists. A new judgement writes the sample into its new folder before it leaves the old one; if a
crash leaves both, the card with the last word counts.
"""

import hashlib
from enum import Enum
from pathlib import Path

from pydantic import ValidationError

from qc_worker.domain.errors import TrainingError
from qc_worker.domain.feedback import Judgement
from qc_worker.domain.names import LineName
from qc_worker.files import write_atomically
from trainer.samples.card import Origin, SampleCard, Word, said

USED = (Judgement.GOOD, Judgement.DEFECT)
"""Judgements of the samples that training and tests use; `unsure` holds one back."""


class Stored(Enum):
    """Outcome of adding a sample."""

    ADDED = "added"
    KNOWN = "known"
    JUDGED_ANEW = "judged_anew"
    """These bytes had another judgement before; the new one replaces it."""
    REPAIRED = "repaired"
    """The sample was known but damaged on disk; it was written again."""
    HELD_BACK = "held_back"
    """A person held these bytes back, and an import does not change that."""


class SampleStore:
    """Samples of all lines below one local folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def lines(self) -> list[str]:
        """List lines with at least one sample in use."""
        if not self.folder.is_dir():
            return []
        lines = (path.name for path in self.folder.iterdir() if path.is_dir() and not path.name.startswith("."))
        return sorted(line for line in lines if any(self.ids(LineName(line), judgement) for judgement in USED))

    def ids(self, line: LineName, judgement: Judgement) -> list[str]:
        """List ids of the samples with this judgement, sorted."""
        own = self._carded(line, judgement)
        twice = own & {sample for other in _others(judgement) for sample in self._carded(line, other)}
        return sorted(own - {sample for sample in twice if self._judgement(line, sample) is not judgement})

    def read(self, line: LineName, judgement: Judgement, sample: str) -> bytes:
        """Return the original bytes, also if they were judged anew since they were listed.

        Raises TrainingError if the file is missing or does not match its id.
        """
        path = self.path(line, judgement, sample)
        content = path.read_bytes() if path.is_file() else None
        if content is None or sha256(content) != sample:
            happened = "is missing" if content is None else "was changed on disk"
            raise TrainingError(
                f"sample {sample} of line {line} {happened}{self._named(line, judgement, sample)}: import the image "
                f"again to repair it, or delete {path}.json to remove the sample"
            )
        return content

    def path(self, line: LineName, judgement: Judgement, sample: str) -> Path:
        """Return the file of the original bytes; in another folder if the sample was judged anew since."""
        paths = [self._kind(line, each) / sample for each in (judgement, *_others(judgement))]
        return next((path for path in paths if path.is_file()), paths[0])

    def card(self, line: LineName, judgement: Judgement, sample: str) -> SampleCard:
        """Read the sample's card, with its origins. Raises TrainingError if the JSON file cannot be read."""
        paths = [self._card_path(line, each, sample) for each in (judgement, *_others(judgement))]
        path = next((path for path in paths if path.is_file()), paths[0])
        try:
            return SampleCard.model_validate_json(path.read_bytes())
        except ValidationError:
            raise TrainingError(
                f"{path} is damaged (it must contain the sample's origins): import the image again to repair it, or "
                "delete the file to remove the sample"
            ) from None

    def find(self, line: LineName, sample: str) -> SampleCard | None:
        """Return the card with the last word on these bytes; None if there is no readable one."""
        cards = [card for judgement in Judgement if (card := self._readable(line, judgement, sample)) is not None]
        return max(cards, key=lambda card: (len(card.history), card.history[-1].at), default=None)

    def mask(self, line: LineName, sample: str) -> bytes | None:
        """Return the PNG mask of a defect sample; None if it has none."""
        path = self.mask_path(line, sample)
        return path.read_bytes() if path.is_file() else None

    def mask_path(self, line: LineName, sample: str, judgement: Judgement = Judgement.DEFECT) -> Path:
        """Return the place of a sample's mask."""
        return self._kind(line, judgement) / f"{sample}.mask.png"

    def add(
        self,
        line: LineName,
        judgement: Judgement,
        content: bytes,
        *,
        origin: Origin,
        mask: bytes | None = None,
        word: Word | None = None,
        kind: str | None = None,
    ) -> Stored:
        """Store an image once; if its bytes are known, add origin and word to its card. Raises OSError.

        Without `word` it is an import, which may name the `kind` and whose masks are exact. A mask that comes with a
        word is made of its boxes.
        """
        sample = sha256(content)
        before = self.find(line, sample)
        if before is not None and before.judgement is Judgement.UNSURE and word is None:
            return Stored.HELD_BACK
        told = word or Word(judgement=judgement, by=origin.accepted_by, at=origin.accepted_at, kind=kind)
        card = said(before, sample, told, origin)
        counts = card.judgement is told.judgement is Judgement.DEFECT and (word is None or card.last == word)
        if mask is not None and counts:
            card = self._with_mask(line, before, card, mask, coarse=word is not None)
        return self._settle(line, before, card, content)

    def judge(self, line: LineName, sample: str, word: Word, *, mask: bytes | None = None) -> Stored:
        """Add a word to a sample that is stored. Raises TrainingError if it is not, or is damaged."""
        before = self.find(line, sample)
        if before is None:
            raise TrainingError(f"line {line} has no sample {sample}")
        return self.add(
            line,
            word.judgement,
            self.read(line, before.judgement, sample),
            origin=before.origins[0],
            mask=mask,
            word=word,
        )

    def name(self, line: LineName, judgement: Judgement, sample: str) -> str | None:
        """Return the name of the imported file or the id of the frame; None if the card cannot be read."""
        try:
            origin = self.card(line, judgement, sample).origins[0]
        except (TrainingError, OSError, IndexError):
            return None
        return origin.imported or origin.frame_id

    def _settle(self, line: LineName, before: SampleCard | None, card: SampleCard, content: bytes) -> Stored:
        """Write the sample into the folder of its judgement, the card last, then remove it from the others."""
        sample, judgement = card.sha256, card.judgement
        known = self._card_path(line, judgement, sample).is_file()
        whole = known and self._is_whole(line, judgement, sample)
        if not whole:
            write_atomically(self._kind(line, judgement) / sample, content)
        self._bring_mask(line, before, card)
        if card != before or not whole:
            path = self._card_path(line, judgement, sample)
            write_atomically(path, card.model_dump_json(exclude_none=True).encode())
        for other in _others(judgement):
            self._remove(line, other, sample)
        if known:
            return Stored.KNOWN if whole else Stored.REPAIRED
        return Stored.ADDED if before is None else Stored.JUDGED_ANEW

    def _with_mask(
        self, line: LineName, before: SampleCard | None, card: SampleCard, mask: bytes, *, coarse: bool
    ) -> SampleCard:
        """Write the mask of a defect, unless it is coarse and an exact one is there."""
        exact = before is not None and not before.coarse_mask and self._mask_of(line, before) is not None
        if coarse and exact:
            return card
        write_atomically(self.mask_path(line, card.sha256, card.judgement), mask)
        return card.model_copy(update={"coarse_mask": coarse})

    def _bring_mask(self, line: LineName, before: SampleCard | None, card: SampleCard) -> None:
        """Keep the mask of a defect that is held back, and of one that is restored; a good sample has none."""
        if before is None or before.judgement is card.judgement or card.judgement is Judgement.GOOD:
            return
        mask, path = self._mask_of(line, before), self.mask_path(line, card.sha256, card.judgement)
        if mask is not None and not path.is_file():
            write_atomically(path, mask)

    def _mask_of(self, line: LineName, card: SampleCard) -> bytes | None:
        path = self.mask_path(line, card.sha256, card.judgement)
        return path.read_bytes() if path.is_file() else None

    def _named(self, line: LineName, judgement: Judgement, sample: str) -> str:
        name = self.name(line, judgement, sample)
        return f" ({name})" if name else ""

    def _carded(self, line: LineName, judgement: Judgement) -> set[str]:
        return {path.stem for path in self._kind(line, judgement).glob("*.json")}

    def _judgement(self, line: LineName, sample: str) -> Judgement | None:
        found = self.find(line, sample)
        return found.judgement if found else None

    def _readable(self, line: LineName, judgement: Judgement, sample: str) -> SampleCard | None:
        try:
            card = SampleCard.model_validate_json(self._card_path(line, judgement, sample).read_bytes())
        except (ValidationError, FileNotFoundError):
            return None
        return card if card.history else None

    def _is_whole(self, line: LineName, judgement: Judgement, sample: str) -> bool:
        path = self._kind(line, judgement) / sample
        is_same = path.is_file() and sha256(path.read_bytes()) == sample
        return is_same and self._readable(line, judgement, sample) is not None

    def _remove(self, line: LineName, judgement: Judgement, sample: str) -> None:
        """Remove the files, the card first: without it the others are no sample."""
        self._card_path(line, judgement, sample).unlink(missing_ok=True)
        (self._kind(line, judgement) / sample).unlink(missing_ok=True)
        self.mask_path(line, sample, judgement).unlink(missing_ok=True)

    def _kind(self, line: LineName, judgement: Judgement) -> Path:
        return self.folder / line / judgement

    def _card_path(self, line: LineName, judgement: Judgement, sample: str) -> Path:
        return self._kind(line, judgement) / f"{sample}.json"


def sha256(content: bytes) -> str:
    """Return the SHA-256 of a sample's bytes, which is its id."""
    return hashlib.sha256(content).hexdigest()


def sample_counts(store: SampleStore, line: LineName) -> dict[str, int]:
    """Count a line's samples in use, by judgement."""
    return {judgement.value: len(store.ids(line, judgement)) for judgement in USED}


def _others(judgement: Judgement) -> tuple[Judgement, ...]:
    return tuple(each for each in Judgement if each is not judgement)
