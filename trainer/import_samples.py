"""`qc-trainer import`: folders of images become samples."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path

import structlog

from qc_worker.domain.errors import InvalidFrame, SettingsError, TrainingError
from qc_worker.domain.names import LineName
from qc_worker.domain.release import Judgement
from qc_worker.simplenet.image_files import image_files
from qc_worker.simplenet.preprocessing import ImageLimits, decode_picture
from trainer.capture_time import exif_time, file_time
from trainer.masks import find_mask, mask_png
from trainer.progress import Advance
from trainer.samples import Origin, SampleStore, Stored
from trainer.threads import map_in_order

# Small: an import only asks whether the file decodes at all.
CHECK_SIZE = (32, 32)
ACCEPTED_BY = "import"

log = structlog.get_logger()


@dataclass(slots=True)
class ImportReport:
    """What became of the files of one folder."""

    added: int = 0
    known: int = 0
    judged_anew: int = 0
    with_mask: int = 0
    unreadable: list[str] = field(default_factory=list)

    @property
    def stored(self) -> int:
        return self.added + self.known + self.judged_anew


@dataclass(frozen=True, slots=True)
class ImportFolder:
    """One folder to import. Files without an image's suffix and hidden files are left out in silence."""

    line: LineName
    judgement: Judgement
    folder: Path
    masks: Path | None = None


@dataclass(frozen=True, slots=True)
class Importer:
    """Imports folders into a store."""

    store: SampleStore
    limits: ImageLimits
    now: Callable[[], datetime]
    decode_threads: int

    def run(self, task: ImportFolder, *, advance: Advance) -> ImportReport:
        """Store every image that decodes. Raises SettingsError, or TrainingError if none does."""
        files = _files(task)
        report = ImportReport()
        contents = map_in_order(partial(self._read, task.folder), files, threads=self.decode_threads)
        for path, content in zip(files, contents, strict=True):
            self._take(task, path, content, report)
            advance(1)
        if not report.stored:
            raise TrainingError(f"none of the {len(files)} image files in {task.folder} could be read")
        return report

    def _read(self, folder: Path, path: Path) -> bytes | None:
        try:
            return self._checked(path)
        except InvalidFrame as error:
            log.warning("unreadable image skipped", file=str(path.relative_to(folder)), reason=error.detail)
            return None

    def _checked(self, path: Path) -> bytes:
        content = path.read_bytes()
        decode_picture(content, input_size=CHECK_SIZE, aspect="squash", limits=self.limits)
        return content

    def _take(self, task: ImportFolder, path: Path, content: bytes | None, report: ImportReport) -> None:
        name = path.relative_to(task.folder)
        if content is None:
            report.unreadable.append(str(name))
            return
        mask = self._mask(task, name)
        origin = Origin(
            imported=str(name),
            accepted_by=ACCEPTED_BY,
            accepted_at=self.now(),
            folder="/".join(task.folder.resolve().parts[-2:]),
            captured_at=exif_time(content, self.limits),
            modified_at=file_time(path),
        )
        stored = self.store.add(task.line, task.judgement, content, origin=origin, mask=mask)
        report.with_mask += mask is not None
        _count(report, stored)

    def _mask(self, task: ImportFolder, image: Path) -> bytes | None:
        path = find_mask(task.masks, image) if task.masks else None
        if path is None or path == task.folder / image:  # masks in the images' own folder, but not of this image
            return None
        try:
            content = self._checked(path)
        except InvalidFrame as error:
            raise TrainingError(f"mask {path} cannot be read: {error.detail}") from None
        return content if path.suffix.lower() == ".png" else mask_png(path)


def _count(report: ImportReport, stored: Stored) -> None:
    match stored:
        case Stored.ADDED:
            report.added += 1
        case Stored.KNOWN:
            report.known += 1
        case Stored.JUDGED_ANEW:
            report.judged_anew += 1


def _files(task: ImportFolder) -> list[Path]:
    for folder in filter(None, (task.folder, task.masks)):
        if not folder.is_dir():
            raise SettingsError(f"{folder} is not a folder")
    files = image_files(task.folder)
    if not files:
        raise SettingsError(f"{task.folder} holds no image files")
    if task.judgement is Judgement.DEFECT and _below_good(task.folder, files):
        raise SettingsError(f"{task.folder} has a folder `good`: name the folders of defects one by one")
    return files


def _below_good(folder: Path, files: Iterable[Path]) -> bool:
    return any("good" in path.relative_to(folder).parts[:-1] for path in files)
