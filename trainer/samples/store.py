"""Store a line's accepted images, each once, under the SHA-256 of its bytes.

`<folder>/<line>/<good|defect>/<sha256>` holds the original bytes, `<sha256>.json` is the card with their origins, and a
defect may have `<sha256>.mask.png`. The card is written last: a sample exists exactly if its card exists.
"""

import hashlib
from datetime import datetime
from enum import Enum
from pathlib import Path

from pydantic import BaseModel, ValidationError

from qc_worker.domain.errors import TrainingError
from qc_worker.domain.feedback import Judgement
from qc_worker.domain.frame import Position
from qc_worker.domain.names import LineName
from qc_worker.files import write_atomically


class Origin(BaseModel, frozen=True, extra="forbid"):
    """Origin of a sample: an imported file, or a frame by its position."""

    imported: str | None = None
    position: Position | None = None
    frame_id: str | None = None
    accepted_by: str
    accepted_at: datetime
    folder: str | None = None
    """Last two parts of the imported folder's path, such as `monday/good`."""
    captured_at: datetime | None = None
    """Capture time from the frame's headers, or from the file's EXIF read as UTC."""
    modified_at: datetime | None = None
    """Modification time of the imported file, UTC."""


class SampleCard(BaseModel, frozen=True, extra="forbid"):
    """The JSON file beside a sample."""

    sha256: str
    judgement: Judgement
    origins: tuple[Origin, ...]


class Stored(Enum):
    """Outcome of adding a sample."""

    ADDED = "added"
    KNOWN = "known"
    JUDGED_ANEW = "judged_anew"
    """These bytes had the opposite judgement before; the new one replaces it."""
    REPAIRED = "repaired"
    """The sample was known but damaged on disk; it was written again."""


class SampleStore:
    """Samples of all lines below one local folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def lines(self) -> list[str]:
        """List lines with at least one sample."""
        if not self.folder.is_dir():
            return []
        lines = (path.name for path in self.folder.iterdir() if path.is_dir() and not path.name.startswith("."))
        return sorted(line for line in lines if any(self.ids(LineName(line), judgement) for judgement in Judgement))

    def ids(self, line: LineName, judgement: Judgement) -> list[str]:
        """List ids of the samples with this judgement, sorted."""
        return sorted(path.stem for path in self._kind(line, judgement).glob("*.json"))

    def read(self, line: LineName, judgement: Judgement, sample: str) -> bytes:
        """Return the original bytes. Raises TrainingError if the file is missing or does not match its id."""
        path = self._kind(line, judgement) / sample
        content = path.read_bytes() if path.is_file() else None
        if content is None or sha256(content) != sample:
            happened = "is missing" if content is None else "was changed on disk"
            raise TrainingError(
                f"sample {sample} of line {line} {happened}{self._named(line, judgement, sample)}: import the image "
                f"again to repair it, or delete {path}.json to remove the sample"
            )
        return content

    def card(self, line: LineName, judgement: Judgement, sample: str) -> SampleCard:
        """Read the sample's card, with its origins. Raises TrainingError if the JSON file cannot be read."""
        path = self._card_path(line, judgement, sample)
        try:
            return SampleCard.model_validate_json(path.read_bytes())
        except ValidationError:
            raise TrainingError(
                f"{path} is damaged (it must contain the sample's origins): import the image again to repair it, or "
                "delete the file to remove the sample"
            ) from None

    def mask(self, line: LineName, sample: str) -> bytes | None:
        """Return the PNG mask of a defect sample; None if it has none."""
        path = self._mask_path(line, sample)
        return path.read_bytes() if path.is_file() else None

    def add(
        self, line: LineName, judgement: Judgement, content: bytes, *, origin: Origin, mask: bytes | None = None
    ) -> Stored:
        """Store an image once; if its bytes are known, add the origin to its card. Raises OSError."""
        sample = sha256(content)
        if mask is not None:
            write_atomically(self._mask_path(line, sample), mask)
        known = self._card_path(line, judgement, sample).is_file()
        if known and self._is_whole(line, judgement, sample):
            self._add_origin(line, judgement, sample, origin)
            return Stored.KNOWN
        write_atomically(self._kind(line, judgement) / sample, content)
        if known and self._has_card(line, judgement, sample):
            self._add_origin(line, judgement, sample, origin)
        else:
            self._write_card(line, SampleCard(sha256=sample, judgement=judgement, origins=(origin,)))
        judged_anew = self._remove(line, _opposite(judgement), sample)
        if known:
            return Stored.REPAIRED
        return Stored.JUDGED_ANEW if judged_anew else Stored.ADDED

    def name(self, line: LineName, judgement: Judgement, sample: str) -> str | None:
        """Return the name of the imported file or the id of the frame; None if the card cannot be read."""
        try:
            origin = self.card(line, judgement, sample).origins[0]
        except (TrainingError, OSError, IndexError):
            return None
        return origin.imported or origin.frame_id

    def _named(self, line: LineName, judgement: Judgement, sample: str) -> str:
        name = self.name(line, judgement, sample)
        return f" ({name})" if name else ""

    def _is_whole(self, line: LineName, judgement: Judgement, sample: str) -> bool:
        path = self._kind(line, judgement) / sample
        is_same = path.is_file() and sha256(path.read_bytes()) == sample
        return is_same and self._has_card(line, judgement, sample)

    def _has_card(self, line: LineName, judgement: Judgement, sample: str) -> bool:
        try:
            return bool(self.card(line, judgement, sample).origins)
        except TrainingError:
            return False

    def _add_origin(self, line: LineName, judgement: Judgement, sample: str, origin: Origin) -> None:
        card = self.card(line, judgement, sample)
        known = {_place(each): each for each in card.origins}
        # A known origin keeps its values and gets only the fields that it lacks: older cards have no times.
        completed = origin.model_copy(update=_stated(known.get(_place(origin))))
        origins = tuple({**known, _place(origin): completed}.values())
        if origins != card.origins:
            self._write_card(line, card.model_copy(update={"origins": origins}))

    def _write_card(self, line: LineName, card: SampleCard) -> None:
        path = self._card_path(line, card.judgement, card.sha256)
        write_atomically(path, card.model_dump_json(exclude_none=True).encode())

    def _remove(self, line: LineName, judgement: Judgement, sample: str) -> bool:
        card = self._card_path(line, judgement, sample)
        existed = card.is_file()
        card.unlink(missing_ok=True)
        (self._kind(line, judgement) / sample).unlink(missing_ok=True)
        if judgement is Judgement.DEFECT:
            self._mask_path(line, sample).unlink(missing_ok=True)
        return existed

    def _kind(self, line: LineName, judgement: Judgement) -> Path:
        return self.folder / line / judgement

    def _card_path(self, line: LineName, judgement: Judgement, sample: str) -> Path:
        return self._kind(line, judgement) / f"{sample}.json"

    def _mask_path(self, line: LineName, sample: str) -> Path:
        return self._kind(line, Judgement.DEFECT) / f"{sample}.mask.png"


def sha256(content: bytes) -> str:
    """Return the SHA-256 of a sample's bytes, which is its id."""
    return hashlib.sha256(content).hexdigest()


def sample_counts(store: SampleStore, line: LineName) -> dict[str, int]:
    """Count a line's samples by judgement."""
    return {judgement.value: len(store.ids(line, judgement)) for judgement in Judgement}


def _opposite(judgement: Judgement) -> Judgement:
    return Judgement.DEFECT if judgement is Judgement.GOOD else Judgement.GOOD


def _place(origin: Origin) -> tuple[str | None, Position | None]:
    return origin.imported, origin.position


def _stated(origin: Origin | None) -> dict[str, object]:
    """Return the fields that have a value, by name."""
    return {} if origin is None else {name: value for name, value in origin if value is not None}
