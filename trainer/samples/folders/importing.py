"""Import image files into the sample store (`qc-trainer import`)."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path

import numpy as np
import structlog

from qc_worker.domain.errors import InvalidFrame, TrainingError
from qc_worker.domain.feedback import Judgement
from qc_worker.domain.names import readable
from qc_worker.imaging.image_files import UNOPENED
from qc_worker.imaging.opening import ImageLimits
from qc_worker.imaging.preprocessing import decode_picture
from trainer.datasets.masks import as_png, read_mask
from trainer.progress import Advance
from trainer.samples.card import Origin
from trainer.samples.folders.capture_time import exif_time, file_time
from trainer.samples.folders.import_folders import ImportTask, SampleFile
from trainer.samples.store import SampleStore, Stored
from trainer.threads import map_in_order

# Small: an import only checks that the file decodes.
CHECK_SIZE = (32, 32)
ACCEPTED_BY = "import"
MASK_MARKS = "its mask marks a defect"
MASK_IS_EMPTY = "its mask marks no defect"

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Read:
    """A file's bytes, and the reason if it is not taken."""

    content: bytes = b""
    mask: bytes | None = None
    left_out: str | None = None
    is_unreadable: bool = False
    mask_is_unreadable: bool = False
    mask_is_empty: bool = False


@dataclass(slots=True)
class ImportReport:
    """Outcome of the import of one folder."""

    added: int = 0
    known: int = 0
    judged_anew: int = 0
    repaired: int = 0
    """Known samples that were damaged on disk and have been restored."""
    held_back: int = 0
    """Known samples that a person is unsure of or removed; `qc-trainer samples restore` uses them again."""
    with_mask: int = 0
    unreadable: list[str] = field(default_factory=list)
    """Files that cannot be decoded or read, and folders that cannot be read."""
    left_out: dict[str, int] = field(default_factory=dict)
    """Number of files found but not imported, by reason; includes unreadable ones."""
    without_mask: list[str] = field(default_factory=list)
    """Defects without a mask, listed if the task has masks; they are stored nevertheless."""
    unreadable_masks: list[str] = field(default_factory=list)
    empty_masks: list[str] = field(default_factory=list)
    """Defects whose mask is empty."""
    unused_masks: list[str] = field(default_factory=list)
    """Mask files that belong to no image."""

    @property
    def stored(self) -> int:
        return self.added + self.known + self.judged_anew + self.repaired + self.held_back

    def count(self, name: str, read: _Read, stored: Stored) -> None:
        """Count a file that was stored."""
        match stored:
            case Stored.ADDED:
                self.added += 1
            case Stored.KNOWN:
                self.known += 1
            case Stored.JUDGED_ANEW:
                self.judged_anew += 1
            case Stored.REPAIRED:
                self.repaired += 1
            case Stored.HELD_BACK:
                self.held_back += 1
        self.with_mask += read.mask is not None
        self.unreadable_masks += [name] if read.mask_is_unreadable else []
        self.empty_masks += [name] if read.mask_is_empty else []


@dataclass(frozen=True, slots=True)
class Importer:
    """Imports folders into a store."""

    store: SampleStore
    limits: ImageLimits
    now: Callable[[], datetime]
    decode_threads: int

    def run(self, task: ImportTask, *, advance: Advance) -> ImportReport:
        """Store every image that decodes. Raises TrainingError if none was stored, OSError if the disk refuses."""
        report = ImportReport(unused_masks=[_name(task, path) for path in task.unused_masks])
        left_out = Counter({reason: len(paths) for reason, paths in task.left_out.items()})
        report.unreadable += _unopened(task)
        why = ""
        for file, read in zip(
            task.files, map_in_order(partial(self._read, task), task.files, threads=self.decode_threads), strict=True
        ):
            if read.left_out:
                left_out[read.left_out] += 1
                why = why or f" ({_name(task, file.path)}: {read.left_out})"
                report.unreadable += [_name(task, file.path)] if read.is_unreadable else []
            else:
                report.count(_name(task, file.path), read, self._store(task, file, read))
                report.without_mask += [_name(task, file.path)] if _lacks_mask(task, file) else []
            advance(1)
        if not report.stored:
            raise TrainingError(
                f"none of the {len(task.files)} image files in {readable(task.folder)} could be imported{why}"
            )
        report.left_out = dict(sorted(left_out.items()))
        return report

    def _read(self, task: ImportTask, file: SampleFile) -> _Read:
        try:
            content = file.path.read_bytes()
            decode_picture(content, input_size=CHECK_SIZE, aspect="squash", limits=self.limits)
        except InvalidFrame as error:
            return self._unreadable(task, file, error.reason, error.detail)
        except OSError as error:
            return self._unreadable(task, file, (error.strerror or "cannot be read").lower(), str(error))
        return self._with_mask(task, file, content) if file.masks else _Read(content)

    def _unreadable(self, task: ImportTask, file: SampleFile, reason: str, detail: str) -> _Read:
        log.warning("unreadable image skipped", file=_name(task, file.path), reason=detail)
        return _Read(left_out=str(reason), is_unreadable=True)

    def _with_mask(self, task: ImportTask, file: SampleFile, content: bytes) -> _Read:
        try:
            mask = read_mask(file.masks, self.limits)
        except TrainingError as error:
            log.warning("unreadable mask left out", file=_name(task, file.path), reason=str(error))
            return _Read(content, mask_is_unreadable=True)
        if task.judgement is Judgement.GOOD:
            return _Read(content, left_out=MASK_MARKS if np.any(mask) else None)
        if not np.any(mask):
            beside = all(path.parent == file.path.parent for path in file.masks)
            return _Read(content, mask_is_empty=True, left_out=MASK_IS_EMPTY if beside else None)
        return _Read(content, as_png(mask))

    def _store(self, task: ImportTask, file: SampleFile, read: _Read) -> Stored:
        origin = Origin(
            imported=readable(file.path.relative_to(file.folder)),
            accepted_by=ACCEPTED_BY,
            accepted_at=self.now(),
            folder=readable("/".join(file.folder.resolve().parts[-2:])),
            captured_at=exif_time(read.content, self.limits),
            modified_at=file_time(file.path),
        )
        return self.store.add(task.line, task.judgement, read.content, origin=origin, mask=read.mask, kind=file.kind)


def _lacks_mask(task: ImportTask, file: SampleFile) -> bool:
    return task.has_masks and task.judgement is Judgement.DEFECT and not file.masks


def _unopened(task: ImportTask) -> list[str]:
    """Name the folders that could not be searched."""
    return [
        f"{_name(task, path)}/"
        for reason, paths in task.left_out.items()
        if reason.startswith(UNOPENED)
        for path in paths
    ]


def _name(task: ImportTask, path: Path) -> str:
    return readable(path.relative_to(task.folder) if path.is_relative_to(task.folder) else path)
