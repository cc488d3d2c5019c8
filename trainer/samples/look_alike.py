"""Find good samples that show the same picture: held-out copies make a threshold look better than it is."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import structlog
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from qc_worker.domain.errors import TrainingError
from qc_worker.domain.feedback import Judgement
from trainer.progress import Advance
from trainer.samples.reading import SampleReader

THUMBNAIL_SIZE = (32, 32)
MAX_COMPARED = 2000
"""Most samples to compare. Ids are digests, so the first ones by id are a random choice."""
SAME_PICTURE = 0.75
"""Two thumbnails show the same picture if their root mean square difference is below this, on a scale of 0 to 255."""
ROWS_AT_ONCE = 256
NAMES_SHOWN = 5

Thumbnails = NDArray[np.uint8]
"""Shape (N, 3, 32, 32)."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class LookAlike:
    """Result of comparing good samples: how many pictures, copies and clusters there are."""

    compared: int
    pictures: int
    """Number of pictures that differ from each other."""
    clusters: int
    """Pictures that more than one sample shows."""
    largest: int
    """Samples in the largest cluster; 0 if there is none."""
    copies: int = 0
    """Samples with the same pixels as an earlier one."""
    one_colour: int = 0
    """Samples in which all pixels have one colour."""

    @property
    def superfluous(self) -> int:
        return self.compared - self.pictures

    @property
    def different(self) -> int:
        """Number of pictures that differ in at least one pixel."""
        return self.compared - self.copies


def look_alike(reader: SampleReader, samples: Sequence[str], *, min_different: int = 0, advance: Advance) -> LookAlike:
    """Compare good samples by thumbnails; where two are equal, compare the pixels that the model will see.

    Raises TrainingError if all show the same picture, if each has only one colour, if fewer than `min_different`
    differ, or if one cannot be decoded.
    """
    small = replace(reader, spec=replace(reader.spec, input_size=THUMBNAIL_SIZE, aspect="squash", tiles=1))
    thumbnails = _thumbnails(small.pictures(samples), advance)
    copies = _copies(reader, samples, thumbnails)
    flat = _of_one_colour(reader, samples, thumbnails)
    _refuse_without_difference(reader, samples, thumbnails, copies)
    if len(flat) == len(samples):
        raise TrainingError(
            f"all {len(samples)} good samples of line {reader.line} have only one colour each "
            f"({_names(reader, flat)}): check lens, light and trigger, then import frames of parts"
        )
    if len(samples) - len(copies) < min_different:
        raise TrainingError(
            f"{len(samples)} good samples of line {reader.line} show {len(samples) - len(copies)} different pictures, "
            f"the others are copies of them ({_names(reader, copies)}): import at least {min_different} that differ"
        )
    found = replace(count_look_alikes(_rows(thumbnails)), copies=len(copies), one_colour=len(flat))
    _warn(reader, found, copies, flat)
    return found


def _refuse_without_difference(
    reader: SampleReader, samples: Sequence[str], thumbnails: Thumbnails, copies: Sequence[str]
) -> None:
    if len(samples) > 1 and len(copies) == len(samples) - 1:
        raise TrainingError(
            f"all {len(samples)} good samples of line {reader.line} show the same picture (mean grey level "
            f"{thumbnails[0].mean():.0f} of 255; {_names(reader, samples)}): check lens, light and trigger, then "
            "import frames of different parts"
        )


def _warn(reader: SampleReader, found: LookAlike, copies: Sequence[str], flat: Sequence[str]) -> None:
    if flat:
        log.warning(
            "good samples have only one colour: they show no part",
            line=reader.line,
            samples=len(flat),
            such_as=_names(reader, flat),
        )
    if found.superfluous:
        log.warning(
            "good samples look alike: copies do not improve the model, and make the stated false-reject rate too low",
            line=reader.line,
            compared=found.compared,
            different_pictures=found.pictures,
            largest_cluster=found.largest,
            same_pixels=found.copies,
            **({"such_as": _names(reader, copies)} if copies else {}),
        )


def _names(reader: SampleReader, samples: Sequence[str]) -> str:
    """Name the first samples by the files that they came from, else by id."""
    names = [reader.store.name(reader.line, Judgement.GOOD, each) or each for each in samples[:NAMES_SHOWN]]
    more = len(samples) - len(names)
    return ", ".join(names) + (f" and {more} more" if more else "")


def _copies(reader: SampleReader, samples: Sequence[str], thumbnails: Thumbnails) -> list[str]:
    """Return samples with the same pixels as an earlier one."""
    small = [each.tobytes() for each in thumbnails]
    seen_twice = {each for each, count in Counter(small).items() if count > 1}
    candidates = [sample for sample, each in zip(samples, small, strict=True) if each in seen_twice]
    seen: set[bytes] = set()
    copies = []
    for sample, pixels in zip(candidates, reader.pictures(candidates), strict=True):
        digest = hashlib.sha256(pixels.numpy().tobytes()).digest()
        copies += [sample] if digest in seen else []
        seen.add(digest)
    return copies


def _of_one_colour(reader: SampleReader, samples: Sequence[str], thumbnails: Thumbnails) -> list[str]:
    candidates = [sample for sample, each in zip(samples, thumbnails, strict=True) if _is_flat(each)]
    pictures = zip(candidates, reader.pictures(candidates), strict=True)
    return [sample for sample, pixels in pictures if _is_flat(pixels.numpy())]


def _is_flat(pixels: NDArray[np.uint8]) -> bool:
    return not np.ptp(pixels, axis=(1, 2)).any()


def count_look_alikes(thumbnails: NDArray[np.float32]) -> LookAlike:
    """Count clusters of equal pictures; two may be joined through others. Shape: grey levels (N, values)."""
    n = len(thumbnails)
    first, second = _same_pairs(thumbnails)
    n_pictures, picture_of = connected_components(
        coo_matrix((np.ones(len(first), dtype=bool), (first, second)), shape=(n, n)), directed=False
    )
    sizes = [size for size in Counter(picture_of.tolist()).values() if size > 1]
    return LookAlike(compared=n, pictures=int(n_pictures), clusters=len(sizes), largest=max(sizes, default=0))


def _same_pairs(thumbnails: NDArray[np.float32]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return row numbers of pairs that look the same; each row is also paired with itself."""
    # |a - b|^2 = |a|^2 + |b|^2 - 2 a b, around the mean so that float32 keeps the small differences.
    centred = thumbnails - thumbnails.mean(axis=0)
    squares = (centred**2).sum(axis=1)
    nearest = SAME_PICTURE**2 * thumbnails.shape[1]
    pairs = []
    for start in range(0, len(centred), ROWS_AT_ONCE):
        rows = centred[start : start + ROWS_AT_ONCE]
        distances = squares[start : start + ROWS_AT_ONCE, None] + squares - 2 * rows @ centred.T
        first, second = np.nonzero(distances < nearest)
        pairs.append((first + start, second))
    return np.concatenate([first for first, _ in pairs]), np.concatenate([second for _, second in pairs])


def _thumbnails(pictures: Iterable[Tensor], advance: Advance) -> Thumbnails:
    thumbnails = []
    for pixels in pictures:
        thumbnails.append(pixels.numpy())
        advance(1)
    return np.stack(thumbnails)


def _rows(thumbnails: Thumbnails) -> NDArray[np.float32]:
    return thumbnails.reshape(len(thumbnails), -1).astype(np.float32)
