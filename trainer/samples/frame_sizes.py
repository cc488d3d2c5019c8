"""Read the sizes of a line's good frames, and the bits that they need, in one pass over their files."""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median_low

from qc_worker.domain.errors import InvalidFrame, TrainingError
from qc_worker.domain.feedback import Judgement
from qc_worker.domain.names import LineName
from qc_worker.imaging.bit_depth import bits_needed
from qc_worker.imaging.opening import ImageLimits, opened
from qc_worker.imaging.preprocessing import picture_size
from trainer.samples.store import SampleStore
from trainer.threads import map_in_order

MAX_READ = 2000
"""Most samples to read. Ids are digests, so the first ones by id are a random choice."""


@dataclass(frozen=True, slots=True)
class FrameSizes:
    """Heights and widths of good frames after EXIF orientation, in pixels; at least one frame."""

    sizes: tuple[tuple[int, int], ...]
    bits: tuple[int, ...] = ()
    """Bits that each frame needs; only frames to which a bit depth applies."""

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
    """Read sizes and bits of the line's good samples, at least one; from headers alone where they are enough.

    Raises TrainingError.
    """
    samples = store.ids(line, Judgement.GOOD)[:MAX_READ]
    read = list(map_in_order(_reader(store, line, limits), samples, threads=decode_threads))
    return FrameSizes(tuple(size for size, _ in read), tuple(bits for _, bits in read if bits is not None))


def _reader(
    store: SampleStore, line: LineName, limits: ImageLimits
) -> Callable[[str], tuple[tuple[int, int], int | None]]:
    def read(sample: str) -> tuple[tuple[int, int], int | None]:
        content = store.read(line, Judgement.GOOD, sample)
        try:
            with opened(content, limits) as image:
                return picture_size(content, limits), bits_needed(image, content)
        except InvalidFrame as error:
            raise TrainingError(f"sample {sample} of line {line}: {error.detail}") from None

    return read
