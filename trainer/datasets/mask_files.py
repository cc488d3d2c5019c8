"""Find the mask files of pictures by name, beside the pictures or in a folder of masks."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path

from qc_worker.imaging.image_files import find_images

ENDINGS = ("_mask", "-mask", "_gt", "-gt", "_label", "_seg", "_ground_truth", "_groundtruth", "_masks")
"""Endings after the image's stem, least ambiguous first; MVTec's sets have the first one or none."""
PREFIXES = ("mask_", "gt_")
SUFFIXES = (".png", ".bmp", ".tif", ".tiff", ".gif", ".webp", ".pgm", ".pbm", ".jpg", ".jpeg")
"""In lower or upper case. Lossless formats first: a JPEG beside them is more likely a preview."""
MASK_NAMES = (
    *(f"<stem>{ending}.EXT" for ending in (*ENDINGS, "")),
    *(f"{prefix}<stem>.EXT" for prefix in PREFIXES),
    f"<stem>{ENDINGS[0]}<number>.EXT",
    "<stem>/*.EXT",
)
"""All names that are tried, for people; EXT is one of `MASK_EXTENSIONS`, <stem> may also be the whole file name."""
MASK_EXTENSIONS = tuple(suffix[1:] for suffix in SUFFIXES)

_NUMBER = re.compile(r"[_-]?\d+$")

Files = tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class Matched:
    """Masks by image, and mask files that belong to no image."""

    masks: Mapping[Path, Files]
    unused: Files

    def of(self, image: Path) -> Files:
        """Return the files of an image's mask; empty if it has none."""
        return self.masks.get(image, ())


NO_MASKS = Matched({}, ())


def match_masks(images: Sequence[Path], root: Path, masks: Path) -> Matched:
    """Find the masks of images below `root` among the files below `masks`.

    A mask lies in the same subfolder below `masks` as its image below `root`, or below the folder named like `root`.
    If there is no such subfolder, it may lie in any, provided that only one image has its name. No image is its own
    mask.
    """
    files = find_images(masks).files
    shelf = _Shelf(masks, files)
    stems = Counter(image.stem.casefold() for image in images)
    found = {
        image: mask for image in images if (mask := shelf.find(image, root, is_only=stems[image.stem.casefold()] == 1))
    }
    used = {path for mask in found.values() for path in mask}.union(images)
    return Matched(found, tuple(path for path in files if path not in used))


def masks_beside(files: Sequence[Path]) -> Matched:
    """Find masks that lie among the pictures and are named as masks: `a_mask.png` beside `a.png`.

    `unused` are masks whose picture has a better one.
    """
    stems: dict[tuple[Path, str], list[Path]] = defaultdict(list)
    for path in files:
        stems[path.parent, path.stem.casefold()].append(path)
        stems[path.parent, path.name.casefold()].append(path)
    readings: dict[Path, list[_Reading]] = defaultdict(list)
    for path in files:
        for reading in _marked_readings(path):
            for image in stems.get((path.parent, reading.of), ()):
                readings[image].append(reading)
    masks = {reading.path for of_image in readings.values() for reading in of_image}
    found = {image: _best(of_image, image) for image, of_image in readings.items() if image not in masks}
    used = {path for mask in found.values() for path in mask}
    return Matched(found, tuple(sorted(masks - used)))


def same_stem(files: Sequence[Path]) -> list[list[Path]]:
    """Group files of one folder whose names differ in the suffix only; two or more each, lossless ones first."""
    stems: dict[tuple[Path, str], list[Path]] = defaultdict(list)
    for path in files:
        stems[path.parent, path.stem].append(path)
    return [sorted(paths, key=_suffix_rank) for paths in stems.values() if len(paths) > 1]


@dataclass(frozen=True, slots=True)
class _Reading:
    """One interpretation of a file's name: mask of the image with that stem."""

    path: Path
    of: str
    """Stem or name of the image, in lower case."""
    rank: int
    """Lower is less ambiguous."""
    is_part: bool = False
    """True if all files of this rank together are the mask."""


class _Shelf:
    """Masks below a folder, by subfolder and by the image that their name refers to."""

    def __init__(self, folder: Path, files: Iterable[Path]) -> None:
        self._readings: dict[tuple[str, str], list[_Reading]] = defaultdict(list)
        self._places: set[str] = set()
        self._places_of: dict[str, set[str]] = defaultdict(set)
        for path in files:
            place = path.parent.relative_to(folder)
            self._places.add(_folded(place))
            for reading in _plain_readings(path):
                self._put(place, reading)
            if place.name:
                self._places.add(_folded(place.parent))
                self._put(place.parent, _Reading(path, place.name.casefold(), rank=_RANK_OF_FOLDERS, is_part=True))

    def find(self, image: Path, root: Path, *, is_only: bool) -> Files:
        place = image.parent.relative_to(root)
        places = [_folded(place), _folded(root.name / place)]
        for each in places:
            if mask := self._at(each, image):
                return mask
        elsewhere = self._places_of.get(image.stem.casefold(), set())
        if is_only and len(elsewhere) == 1 and not self._places.intersection(places):
            return self._at(next(iter(elsewhere)), image)
        return ()

    def _put(self, place: Path, reading: _Reading) -> None:
        self._readings[_folded(place), reading.of].append(reading)
        self._places_of[reading.of].add(_folded(place))

    def _at(self, place: str, image: Path) -> Files:
        names = (image.stem.casefold(), image.name.casefold())
        readings = [reading for name in names for reading in self._readings.get((place, name), ())]
        return _best([reading for reading in readings if reading.path != image], image)


_RANK_OF_STEM = 2 * len(ENDINGS)
_RANK_OF_PREFIXES = _RANK_OF_STEM + 1
_RANK_OF_FOLDERS = _RANK_OF_PREFIXES + 1


def _plain_readings(path: Path) -> Iterator[_Reading]:
    yield _Reading(path, path.stem.casefold(), rank=_RANK_OF_STEM)
    yield from _marked_readings(path)


def _marked_readings(path: Path) -> Iterator[_Reading]:
    """Interpret names that mark the file as a mask."""
    stem = path.stem.casefold()
    numberless = _NUMBER.sub("", stem)
    for number, ending in enumerate(ENDINGS):
        if stem.endswith(ending) and stem != ending:
            yield _Reading(path, stem.removesuffix(ending), rank=2 * number)
        elif numberless.endswith(ending) and numberless != ending:
            yield _Reading(path, numberless.removesuffix(ending), rank=2 * number + 1, is_part=True)
    for prefix in PREFIXES:
        if stem.startswith(prefix) and stem != prefix:
            yield _Reading(path, stem.removeprefix(prefix), rank=_RANK_OF_PREFIXES)


def _best(readings: Sequence[_Reading], image: Path) -> Files:
    """Return the least ambiguous file, or all parts of that mask; empty without readings."""
    if not readings:
        return ()
    first = min(readings, key=attrgetter("rank"))
    equal = sorted({reading.path for reading in readings if reading.rank == first.rank}, key=lambda path: path.name)
    if first.is_part:
        return tuple(equal)
    return (min(equal, key=lambda path: (not path.stem.startswith(image.stem), _suffix_rank(path))),)


def _suffix_rank(path: Path) -> int:
    suffix = path.suffix.lower()
    return SUFFIXES.index(suffix) if suffix in SUFFIXES else len(SUFFIXES)


def _folded(place: str | Path) -> str:
    """Return a folder's path in lower case, to compare without regard to case."""
    return Path(place).as_posix().casefold()
