"""The sample store: a line's accepted images, each kept once, named by the SHA-256 of its bytes.

`<folder>/<line>/<good|defect>/<sha256>` holds the bytes as they came, `<sha256>.json` says where they came from, and
a defect may have `<sha256>.mask.png`. The JSON file is written last, so a sample exists exactly if its JSON file does.
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
    """Where a sample came from: an imported file, or a frame by its position."""

    imported: str | None = None
    position: Position | None = None
    frame_id: str | None = None
    accepted_by: str
    accepted_at: datetime
    folder: str | None = None
    """Last two names of the folder that was imported, such as `monday/good`."""
    captured_at: datetime | None = None
    """When the picture was taken: by the frame's headers, or by the file's EXIF, read as UTC."""
    modified_at: datetime | None = None
    """When the imported file was last changed, UTC."""


class SampleCard(BaseModel, frozen=True, extra="forbid"):
    """The JSON file beside a sample."""

    sha256: str
    judgement: Judgement
    origins: tuple[Origin, ...]


class Stored(Enum):
    """What became of a sample that was handed in."""

    ADDED = "added"
    KNOWN = "known"
    JUDGED_ANEW = "judged_anew"
    """The same bytes had the opposite judgement; the newer one holds."""
    REPAIRED = "repaired"
    """The sample was known, but damaged on disk."""


class SampleStore:
    """Samples of all lines below one local folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def lines(self) -> list[str]:
        """Lines with at least one sample."""
        if not self.folder.is_dir():
            return []
        lines = (path.name for path in self.folder.iterdir() if path.is_dir() and not path.name.startswith("."))
        return sorted(line for line in lines if any(self.ids(LineName(line), judgement) for judgement in Judgement))

    def ids(self, line: LineName, judgement: Judgement) -> list[str]:
        """Ids of the samples with that judgement, in order."""
        return sorted(path.stem for path in self._kind(line, judgement).glob("*.json"))

    def read(self, line: LineName, judgement: Judgement, sample: str) -> bytes:
        """The image as it came. Raises TrainingError if its bytes are no longer there, or no longer those of its id."""
        path = self._kind(line, judgement) / sample
        content = path.read_bytes() if path.is_file() else None
        if content is None or sha256(content) != sample:
            happened = "is missing" if content is None else "was changed on disk"
            raise TrainingError(
                f"sample {sample} of line {line} {happened}{self._named(line, judgement, sample)}: import the image "
                f"again, which repairs it, or remove {path}.json, and the sample is gone"
            )
        return content

    def card(self, line: LineName, judgement: Judgement, sample: str) -> SampleCard:
        """Where the sample came from. Raises TrainingError if its JSON file cannot be read."""
        path = self._card_path(line, judgement, sample)
        try:
            return SampleCard.model_validate_json(path.read_bytes())
        except ValidationError:
            raise TrainingError(
                f"{path} is damaged, it does not say where a sample comes from: import the image again, which repairs "
                "it, or remove the file, and the sample is gone"
            ) from None

    def mask(self, line: LineName, sample: str) -> bytes | None:
        """The PNG mask of a defect sample, if it has one."""
        path = self._mask_path(line, sample)
        return path.read_bytes() if path.is_file() else None

    def add(
        self, line: LineName, judgement: Judgement, content: bytes, *, origin: Origin, mask: bytes | None = None
    ) -> Stored:
        """Store an image once; another origin of the same bytes is added to its card. Raises OSError."""
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
        """Name of the file that was imported, or of the frame; None if it is not known."""
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
        # Of a place that is known, only what its origin lacks is new: cards of before have no times.
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
    """Id of a sample."""
    return hashlib.sha256(content).hexdigest()


def sample_counts(store: SampleStore, line: LineName) -> dict[str, int]:
    """How many samples a line has, by judgement."""
    return {judgement.value: len(store.ids(line, judgement)) for judgement in Judgement}


def _opposite(judgement: Judgement) -> Judgement:
    return Judgement.DEFECT if judgement is Judgement.GOOD else Judgement.GOOD


def _place(origin: Origin) -> tuple[str | None, Position | None]:
    return origin.imported, origin.position


def _stated(origin: Origin | None) -> dict[str, object]:
    """Fields that have a value, by name."""
    return {} if origin is None else {name: value for name, value in origin if value is not None}
