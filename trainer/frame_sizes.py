"""Sizes of a line's good frames, from their headers."""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median_low

from qc_worker.domain.errors import InvalidFrame, TrainingError
from qc_worker.domain.names import LineName
from qc_worker.domain.release import Judgement
from qc_worker.simplenet.preprocessing import ImageLimits, picture_size
from trainer.samples import SampleStore
from trainer.threads import map_in_order

MAX_READ = 2000
"""Samples whose size is read at the most. Ids are digests, so the first by id are any."""


@dataclass(frozen=True, slots=True)
class FrameSizes:
    """Heights and widths of good frames after EXIF orientation, pixels; at least one."""

    sizes: tuple[tuple[int, int], ...]

    @property
    def typical(self) -> tuple[int, int]:
        """Median height and median width."""
        heights, widths = zip(*self.sizes, strict=True)
        return median_low(heights), median_low(widths)

    def __str__(self) -> str:
        several = len(set(self.sizes))
        height, width = self.typical
        return f"frames of {height} x {width} px" + (f" (median of {several} sizes)" if several > 1 else "")


def read_frame_sizes(store: SampleStore, line: LineName, *, limits: ImageLimits, decode_threads: int) -> FrameSizes:
    """Read the sizes of the line's good samples, of which there must be one. Raises TrainingError."""
    samples = store.ids(line, Judgement.GOOD)[:MAX_READ]
    return FrameSizes(tuple(map_in_order(_size_reader(store, line, limits), samples, threads=decode_threads)))


def _size_reader(store: SampleStore, line: LineName, limits: ImageLimits) -> Callable[[str], tuple[int, int]]:
    def read_size(sample: str) -> tuple[int, int]:
        try:
            return picture_size(store.read(line, Judgement.GOOD, sample), limits)
        except InvalidFrame as error:
            raise TrainingError(f"sample {sample} of line {line}: {error.detail}") from None

    return read_size
