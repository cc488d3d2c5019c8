"""Samples on their way to the backbone: read and decoded in threads, stacked to batches."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from torch import Tensor

from qc_worker.domain.errors import InvalidFrame, TrainingError
from qc_worker.domain.feedback import Judgement
from qc_worker.domain.names import LineName
from qc_worker.imaging.preprocessing import Box, ImageLimits, Picture, content_box, decode_picture, stack_pixels
from qc_worker.simplenet.spec import EmbeddingSpec
from trainer.samples.store import SampleStore
from trainer.threads import map_in_order

BATCH_SIZE = 16

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PictureBatch:
    """Pictures as the scorer takes them. Shapes: `pixels` uint8 (B, 3, H, W)."""

    pixels: Tensor
    boxes: tuple[Box, ...]
    """Where in the model's input each lies."""


def stacked(pictures: Sequence[Picture], spec: EmbeddingSpec) -> PictureBatch:
    """One batch of pictures that were decoded for `spec`."""
    boxes = (content_box(picture.image_size, spec.input_size, spec.aspect) for picture in pictures)
    return PictureBatch(stack_pixels([picture.pixels for picture in pictures]), tuple(boxes))


@dataclass(frozen=True, slots=True)
class SampleReader:
    """Reads a line's samples as a model with `spec` sees them."""

    store: SampleStore
    line: LineName
    spec: EmbeddingSpec
    limits: ImageLimits
    decode_threads: int

    def batches(self, samples: Sequence[str], judgement: Judgement = Judgement.GOOD) -> Iterator[PictureBatch]:
        """Batches in the order of `samples`. Raises TrainingError if one no longer decodes."""
        for pictures in in_batches(self._decoded(samples, judgement), BATCH_SIZE):
            yield stacked(pictures, self.spec)

    def pictures(self, samples: Sequence[str], judgement: Judgement = Judgement.GOOD) -> Iterator[Tensor]:
        """uint8 (3, H, W) each, in the order of `samples`. Raises TrainingError if one no longer decodes."""
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
    """Lists of `size` items, the last one perhaps shorter."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
