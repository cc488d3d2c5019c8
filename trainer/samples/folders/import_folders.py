"""Choose the files to import from a folder or a data set; refuse folders that do not match their flag."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from qc_worker.domain.errors import InvalidFrame, SettingsError
from qc_worker.domain.feedback import Judgement
from qc_worker.domain.names import LineName, defect_kind, readable
from qc_worker.imaging.image_files import find_images
from qc_worker.imaging.opening import ImageLimits, opened
from trainer.datasets.folder_check import check_judgement
from trainer.datasets.labelled import DataSet, Labelled, merged
from trainer.datasets.labelled_folder import open_dataset
from trainer.datasets.layouts.names import is_bad
from trainer.datasets.mask_files import Files, masks_beside, match_masks, same_stem

MASK_OF_ANOTHER = "mask of another picture"
KEPT_FOR_EVALUATE = "good test image, kept for evaluate"


@dataclass(frozen=True, slots=True)
class SampleFile:
    """An image file on its way into the store."""

    path: Path
    folder: Path
    """The imported folder; origins are relative to it."""
    masks: Files = ()
    kind: str | None = None
    """Kind of the defect, if the data set names it."""


@dataclass(frozen=True, slots=True)
class ImportTask:
    """Files to import under one judgement, and the files that were left out."""

    line: LineName
    judgement: Judgement
    folder: Path
    """Reports name files relative to it."""
    files: tuple[SampleFile, ...]
    left_out: Mapping[str, Files] = field(default_factory=dict)
    has_masks: bool = False
    """True if the report lists pictures without a mask."""
    unused_masks: Files = ()
    layout: str | None = None
    """Layout of the data set and how it was split; None for a folder."""


@dataclass(frozen=True, slots=True)
class ImportFolder:
    """One folder of images to import, and the folder of its masks if there is one."""

    line: LineName
    judgement: Judgement
    folder: Path
    masks: Path | None = None

    def task(self, limits: ImageLimits) -> ImportTask:
        """Choose the files to import. Raises SettingsError if there are none, or if some have another judgement."""
        for folder in filter(None, (self.folder, self.masks)):
            if not folder.is_dir():
                raise SettingsError(f"{readable(folder)} is not a folder")
        found = find_images(self.folder)
        files = tuple(path for path in found.files if not self._is_in_masks(path))
        if not files:
            raise SettingsError(f"{readable(self.folder)} contains no image files{_found_instead(found.left_out)}")
        check_judgement(self.folder, files, line=self.line, judgement=self.judgement)
        beside = masks_beside(files)
        matched = match_masks(files, self.folder, self.masks) if self.masks else beside
        of_files = {**beside.masks, **_masks_of_same_stem(files, limits), **matched.masks}
        masks = {path for each in of_files.values() for path in each}.union(beside.unused)
        taken = tuple(path for path in files if path not in masks)
        not_taken = tuple(path for path in files if path in masks)
        return ImportTask(
            line=self.line,
            judgement=self.judgement,
            folder=self.folder,
            files=tuple(SampleFile(path, self.folder, of_files.get(path, ())) for path in taken),
            left_out=merged(found.left_out, {MASK_OF_ANOTHER: not_taken} if not_taken else {}),
            has_masks=self.masks is not None or any(path in of_files for path in taken),
            unused_masks=matched.unused if self.masks and self.masks.resolve() != self.folder.resolve() else (),
        )

    def _is_in_masks(self, path: Path) -> bool:
        # The folder of masks may lie inside the folder of pictures.
        return self.masks is not None and self.masks != self.folder and path.is_relative_to(self.masks)


def dataset_tasks(line: LineName, folder: Path) -> list[ImportTask]:
    """Choose all files of a data set except its good test images, which `evaluate` needs. Raises SettingsError."""
    dataset = open_dataset(folder)
    good = [each for each in dataset.training if each.is_good]
    if not any(each.files for each in good):
        raise SettingsError(
            f"{readable(dataset.folder)} contains no good frames to train on (no folder train/good): "
            "import good frames from another folder with --good DIR, and each folder of defects with --defect DIR"
        )
    defects = [each for each in (*dataset.training, *dataset.test) if not each.is_good]
    kept = tuple(path for each in dataset.test if each.is_good for path in each.files)
    tasks = [_dataset_task(line, Judgement.GOOD, dataset, good, kept=kept)]
    has_defects = any(each.files for each in defects)
    return [*tasks, _dataset_task(line, Judgement.DEFECT, dataset, defects)] if has_defects else tasks


def _dataset_task(
    line: LineName, judgement: Judgement, dataset: DataSet, kinds: Sequence[Labelled], *, kept: Files = ()
) -> ImportTask:
    is_good = judgement is Judgement.GOOD
    files = (
        SampleFile(path, each.root, each.masks.get(path, ()), _kind(each)) for each in kinds for path in each.files
    )
    return ImportTask(
        line=line,
        judgement=judgement,
        folder=dataset.folder,
        files=tuple(files),
        # Files left out belong to no judgement: they are reported once, with the good images.
        left_out=merged(dataset.left_out, {KEPT_FOR_EVALUATE: kept} if kept else {}) if is_good else {},
        has_masks=not is_good and any(each.masks for each in kinds),
        unused_masks=() if is_good else dataset.unused_masks,
        layout=dataset.layout,
    )


def _kind(labelled: Labelled) -> str | None:
    """Return the kind of a data set's defects; None if its name only says that they are defects."""
    try:
        return None if labelled.is_good or is_bad(labelled.kind) else defect_kind(labelled.kind)
    except ValueError:
        return None


def _masks_of_same_stem(files: Sequence[Path], limits: ImageLimits) -> dict[Path, Files]:
    """Find masks named like their picture but for the suffix: at most two colours, unlike the picture."""
    found: dict[Path, Files] = {}
    for paths in same_stem(files):
        masks = tuple(path for path in paths if _has_two_colours(path, limits))
        if masks and len(masks) < len(paths):
            found |= {path: masks[:1] for path in paths if path not in masks}
    return found


def _has_two_colours(path: Path, limits: ImageLimits) -> bool:
    try:
        with opened(path.read_bytes(), limits) as image:
            return image.getcolors(maxcolors=2) is not None
    except (InvalidFrame, OSError):
        return False


def _found_instead(left_out: Mapping[str, Files]) -> str:
    return f" (found: {', '.join(f'{reason}: {len(paths)}' for reason, paths in left_out.items())})" if left_out else ""
