"""Good samples that show the same picture: they teach nothing new, and held out they make a threshold look better."""

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
from trainer.pictures import SampleReader
from trainer.progress import Advance

THUMBNAIL_SIZE = (32, 32)
MAX_COMPARED = 2000
"""Samples to compare at the most. Ids are digests, so the first by id are any."""
SAME_PICTURE = 0.75
"""Root mean square difference of two thumbnails, in 255 steps of grey, below which they show the same."""
ROWS_AT_ONCE = 256
WARN_SHARE = 0.05

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class LookAlike:
    """Good samples compared, and how many of them show what another one shows."""

    compared: int
    pictures: int
    """That differ from each other."""
    clusters: int
    """Pictures that more than one sample shows."""
    largest: int
    """Samples in the largest cluster; 0 if there is none."""

    @property
    def superfluous(self) -> int:
        return self.compared - self.pictures


def look_alike(reader: SampleReader, samples: Sequence[str], *, advance: Advance) -> LookAlike:
    """Compare thumbnails of good samples. Raises TrainingError if all show the same picture, or one has no picture."""
    small = replace(reader, spec=replace(reader.spec, input_size=THUMBNAIL_SIZE, aspect="squash", tiles=1))
    thumbnails = _greys(small.pictures(samples), advance)
    if len(thumbnails) > 1 and not np.ptp(thumbnails, axis=0).any():
        raise TrainingError(
            f"all {len(thumbnails)} good samples of line {reader.line} show the same picture (mean grey level "
            f"{thumbnails[0].mean():.0f} of 255): check lens, light and trigger, then import frames of different parts"
        )
    found = count_look_alikes(thumbnails)
    if found.superfluous >= WARN_SHARE * found.compared:
        log.warning(
            "good samples look alike: copies teach nothing and make the threshold look better than it is",
            line=reader.line,
            compared=found.compared,
            different_pictures=found.pictures,
            largest_cluster=found.largest,
        )
    return found


def count_look_alikes(thumbnails: NDArray[np.float32]) -> LookAlike:
    """Count clusters of pictures that are the same, directly or by way of others. Shape: grey levels (N, pixels)."""
    n = len(thumbnails)
    first, second = _same_pairs(thumbnails)
    n_pictures, picture_of = connected_components(
        coo_matrix((np.ones(len(first), dtype=bool), (first, second)), shape=(n, n)), directed=False
    )
    sizes = [size for size in Counter(picture_of.tolist()).values() if size > 1]
    return LookAlike(compared=n, pictures=int(n_pictures), clusters=len(sizes), largest=max(sizes, default=0))


def _same_pairs(thumbnails: NDArray[np.float32]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Row numbers of pairs that are the same; each row is paired with itself as well."""
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


def _greys(pictures: Iterable[Tensor], advance: Advance) -> NDArray[np.float32]:
    greys = []
    for pixels in pictures:
        greys.append(pixels.numpy().mean(axis=0, dtype=np.float32).ravel())
        advance(1)
    return np.stack(greys)
