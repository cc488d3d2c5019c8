"""Refuse folders to import that contain files of another judgement than their flag says, or masks."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from qc_worker.domain.errors import SettingsError
from qc_worker.domain.feedback import Judgement
from qc_worker.domain.names import LineName, readable
from qc_worker.imaging.image_files import quoted
from trainer.datasets.labelled_folder import is_dataset, open_dataset, products
from trainer.datasets.layouts.names import is_bad, is_good, is_ground_truth, is_masks
from trainer.datasets.mask_files import Files

DEEPEST_PART = 4
"""Most folders between a data set's folder and its images."""
PLACES_SHOWN = 3


def check_judgement(folder: Path, files: Files, *, line: LineName, judgement: Judgement) -> None:
    """Raise SettingsError, with the command to use instead, if a file is a mask or has another judgement."""
    for dataset in _datasets_around(folder):
        others = _others(dataset, files, judgement)
        if others:
            raise SettingsError(
                f"{readable(folder)} contains {_inside(folder, others)} of the labelled data set {readable(dataset)} "
                f"that {_are_not(judgement)}; import the data set instead: "
                f"qc-trainer import --line {line} --dataset {quoted(dataset)}"
            )
    wrong = _wrong_folder(folder, files, judgement)
    if wrong is not None:
        raise SettingsError(
            f"{readable(folder)} contains a folder `{readable(wrong.name)}` whose images {_are_not(judgement)}: "
            f"{_advice(wrong, judgement)}"
        )


def _datasets_around(folder: Path) -> Iterator[Path]:
    """Yield the data sets in a folder, else the data set that contains the folder."""
    inside = products(folder)
    if inside:
        yield from inside
        return
    whole = folder.resolve()
    yield from [parent for parent in whole.parents[:DEEPEST_PART] if is_dataset(parent)][:1]


def _others(dataset: Path, files: Files, judgement: Judgement) -> list[Path]:
    """Return files of a data set that have the other judgement or are masks."""
    opened = open_dataset(dataset)
    kinds = [each for each in (*opened.training, *opened.test) if each.is_good is not (judgement is Judgement.GOOD)]
    others = {path.resolve() for each in kinds for path in each.files}
    others |= {
        path.resolve() for each in (*opened.training, *opened.test) for mask in each.masks.values() for path in mask
    }
    return [path for path in files if path.resolve() in others or _is_mask_in(dataset, path)]


def _is_mask_in(dataset: Path, path: Path) -> bool:
    for whole, root in ((path, dataset), (path.resolve(), dataset.resolve())):
        if whole.is_relative_to(root):
            return any(map(is_masks, whole.relative_to(root).parts[:-1]))
    return False


def _inside(folder: Path, others: list[Path]) -> str:
    places = sorted({readable(path.parent.relative_to(folder)) for path in others if path.parent != folder})
    shown = ", ".join(f"folder `{place}`" for place in places[:PLACES_SHOWN])
    return f"{len(others)} images{f' ({shown})' if shown else ''}"


def _are_not(judgement: Judgement) -> str:
    return "are not good parts" if judgement is Judgement.GOOD else "are not defects"


def _wrong_folder(folder: Path, files: Files, judgement: Judgement) -> Path | None:
    """Find the first folder that is named like masks or like the other judgement; None if there is none."""
    if is_ground_truth(folder.resolve().name):
        return folder.resolve()
    children: dict[Path, set[str]] = defaultdict(set)
    for path in files:
        for below, name in _steps(folder, path):
            children[below].add(name)
    has_own = {path.parent for path in files}
    for parent, names in sorted(children.items()):
        wrong = _wrong_name(names, judgement, is_alone=len(names) == 1 and parent not in has_own)
        if wrong is not None:
            return parent / wrong
    return None


def _wrong_name(names: Iterable[str], judgement: Judgement, *, is_alone: bool) -> str | None:
    ordered = sorted(names)
    masks = [name for name in ordered if is_ground_truth(name) or (is_masks(name) and not is_alone)]
    if judgement is Judgement.DEFECT:
        return next(iter([*filter(is_good, ordered), *masks]), None)
    bad = list(filter(is_bad, ordered))
    beside_good = [name for name in ordered if not is_good(name)] if any(map(is_good, ordered)) else []
    return next(iter([*masks, *bad, *beside_good]), None)


def _steps(folder: Path, path: Path) -> Iterator[tuple[Path, str]]:
    below = folder
    for name in path.relative_to(folder).parts[:-1]:
        yield below, name
        below /= name


def _advice(wrong: Path, judgement: Judgement) -> str:
    if is_masks(wrong.name):
        return "import each folder of images separately, and give this one with --masks beside --defect"
    if judgement is Judgement.DEFECT:
        return "import each folder of defects separately"
    return f"import each folder of good parts separately, and this one with --defect {quoted(wrong)}"
