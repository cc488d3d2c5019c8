"""Read and decode samples in threads, and stack them into batches for the backbone."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from torch import Tensor

from qc_worker.domain.errors import InvalidFrame, TrainingError
from qc_worker.domain.feedback import Judgement
from qc_worker.domain.names import LineName
from qc_worker.imaging.opening import ImageLimits
from qc_worker.imaging.preprocessing import Box, Picture, content_box, decode_picture, stack_pixels
from qc_worker.simplenet.spec import EmbeddingSpec
from trainer.samples.store import SampleStore
from trainer.threads import map_in_order

BATCH_SIZE = 16

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PictureBatch:
    """A batch of pictures in the form that the scorer needs. Shapes: `pixels` uint8 (B, 3, H, W)."""

    pixels: Tensor
    boxes: tuple[Box, ...]
    """The rectangle that each picture covers in the model's input."""


def stacked(pictures: Sequence[Picture], spec: EmbeddingSpec) -> PictureBatch:
    """Stack pictures that were decoded for `spec` into one batch."""
    boxes = (content_box(picture.image_size, spec.input_size, spec.aspect) for picture in pictures)
    return PictureBatch(stack_pixels([picture.pixels for picture in pictures]), tuple(boxes))


@dataclass(frozen=True, slots=True)
class SampleReader:
    """Reads a line's samples, decoded for a model with `spec`."""

    store: SampleStore
    line: LineName
    spec: EmbeddingSpec
    limits: ImageLimits
    decode_threads: int

    def batches(self, samples: Sequence[str], judgement: Judgement = Judgement.GOOD) -> Iterator[PictureBatch]:
        """Yield batches in the order of `samples`. Raises TrainingError if a sample cannot be decoded."""
        for pictures in in_batches(self._decoded(samples, judgement), BATCH_SIZE):
            yield stacked(pictures, self.spec)

    def pictures(self, samples: Sequence[str], judgement: Judgement = Judgement.GOOD) -> Iterator[Tensor]:
        """Yield pixels in the order of `samples`, uint8 (3, H, W). Raises TrainingError if one cannot be decoded."""
        return (picture.pixels for picture in self._decoded(samples, judgement))

    def _decoded(self, samples: Sequence[str], judgement: Judgement) -> Iterator[Picture]:
        return map_in_order(self._decoder(judgement), samples, threads=self.decode_threads)

    def _decoder(self, judgement: Judgement) -> Callable[[str], Picture]:
        def decode(sample: str) -> Picture:
            content = self.store.read(self.line, judgement, sample)
            try:
                return decode_picture(
                    content,
                    input_size=self.spec.input_size,
                    aspect=self.spec.aspect,
                    limits=self.limits,
                    bit_depth=self.spec.bit_depth,
                )
            except InvalidFrame as error:
                raise TrainingError(f"sample {sample} of line {self.line}: {error.detail}") from None

        return decode


def in_batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield lists of `size` items; the last one may be shorter."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
