"""Open data sets with the folders `train/good`, `test/good`, `test/DEFECT` and `ground_truth/DEFECT`.

MVTec AD, AD 2 and LOCO, BTAD, and VisA's 1cls have this layout. Masks may also lie beside their images, or in
`test/DEFECT/gt` beside `test/DEFECT/rgb` as in MVTec 3D-AD.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from qc_worker.domain.names import readable
from qc_worker.imaging.image_files import find_images
from trainer.datasets.labelled import GOOD, DataSet, Labelled, merged
from trainer.datasets.layouts.names import TEST, TRAINING, VALIDATION, below, is_good, is_masks, letters, subfolders
from trainer.datasets.mask_files import NO_MASKS, Files, masks_beside, match_masks

PICTURES = ("rgb",)
"""Names of the folder of pictures where a kind has folders of other measurements as well."""
BESIDE_PICTURES = "folder beside rgb"
OF_NO_KIND = "in no folder of a kind"
LAYOUT = "train and test folders, as in MVTec AD and BTAD"


def is_mvtec(folder: Path) -> bool:
    """Return True if there is a test folder with a folder of good images, or beside good training frames or masks."""
    test = _test_folder(folder)
    if test is None or not subfolders(test):
        return False
    train = below(folder, _one_of(TRAINING))
    beside = below(folder, is_masks) or (train and below(train, is_good))
    return below(test, is_good) is not None or beside is not None


def open_mvtec(folder: Path) -> DataSet:
    """List the images of a folder for which `is_mvtec` is true."""
    trains = [path for path in subfolders(folder) if _one_of(TRAINING | VALIDATION)(path.name)]
    test = _test_folder(folder)
    tests = [test] if test else []
    masks = next(filter(None, (below(each, is_masks) for each in (folder, *tests))), None)
    training, test_kinds = _Kinds(masks), _Kinds(masks)
    for part in trains:
        training.add_part(part, loose=GOOD)
    for part in tests:
        test_kinds.add_part(part)
    unused = set(training.unused) & set(test_kinds.unused) if training.has_defects else set(test_kinds.unused)
    return DataSet(
        folder=folder,
        layout=LAYOUT,
        training=tuple(training.kinds),
        test=tuple(test_kinds.kinds),
        left_out=merged(training.left_out, test_kinds.left_out),
        unused_masks=tuple(sorted(path for path in unused if masks and not _of_good(path, masks))),
    )


class _Kinds:
    """Images by kind below the parts of a data set, good ones first."""

    def __init__(self, masks: Path | None) -> None:
        self.kinds: list[Labelled] = []
        self.left_out: dict[str, Files] = {}
        self.unused: Files = find_images(masks).files if masks else ()
        self._masks = masks

    @property
    def has_defects(self) -> bool:
        return not all(kind.is_good for kind in self.kinds)

    def add_part(self, part: Path, *, loose: str | None = None) -> None:
        """Add the folders of a part by kind. `loose` is the kind of its images if it has no folders."""
        folders = [path for path in subfolders(part) if not is_masks(path.name)]
        folders.sort(key=lambda path: not is_good(path.name))
        if loose and not folders:
            self._add(part, part, loose)
        elif of_no_kind := _images_right_in(part):
            self.left_out = merged(self.left_out, {OF_NO_KIND: of_no_kind})
        for folder in folders:
            self._add(part, folder, GOOD if is_good(folder.name) else readable(folder.name))

    def _add(self, part: Path, folder: Path, kind: str) -> None:
        pictures, own_masks = below(folder, _one_of(PICTURES)) or folder, below(folder, is_masks)
        found = find_images(pictures)
        beside = masks_beside(found.files)
        masks = _paths([*beside.masks.values(), beside.unused])
        files = tuple(path for path in found.files if path not in masks and own_masks not in path.parents)
        matched = match_masks(files, part, self._masks) if self._masks and kind != GOOD else NO_MASKS
        own = match_masks(files, pictures, own_masks) if own_masks else NO_MASKS
        of_files = {**beside.masks, **own.masks, **matched.masks} if kind != GOOD else {}
        self.kinds.append(Labelled(folder, kind, files, of_files))
        self.kinds.sort(key=lambda each: not each.is_good)
        other = tuple(each for each in subfolders(folder) if pictures != folder and each not in (pictures, own_masks))
        self.left_out = merged(self.left_out, found.left_out, {BESIDE_PICTURES: other} if other else {})
        used = _paths(matched.masks.values())
        self.unused = tuple(path for path in self.unused if path not in used)


def _images_right_in(folder: Path) -> Files:
    return tuple(path for path in find_images(folder).files if path.parent == folder)


def _test_folder(folder: Path) -> Path | None:
    return next(filter(None, (below(folder, _one_of([name])) for name in TEST)), None)


def _one_of(names: Iterable[str]) -> Callable[[str], bool]:
    wanted = frozenset(names)
    return lambda name: letters(name) in wanted


def _paths(masks: Iterable[Sequence[Path]]) -> set[Path]:
    return {path for files in masks for path in files}


def _of_good(mask: Path, masks: Path) -> bool:
    return any(is_good(part) for part in mask.relative_to(masks).parts[:-1])
