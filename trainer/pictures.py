"""Samples on their way to the backbone: read and decoded in threads, stacked to batches."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from torch import Tensor

from qc_worker.domain.errors import InvalidFrame, TrainingError
from qc_worker.domain.names import LineName
from qc_worker.domain.release import Judgement
from qc_worker.simplenet.preprocessing import ImageLimits, decode_picture, stack_pixels
from qc_worker.simplenet.spec import EmbeddingSpec
from trainer.samples import SampleStore
from trainer.threads import map_in_order

BATCH_SIZE = 16

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class SampleReader:
    """Reads a line's samples as a model with `spec` sees them."""

    store: SampleStore
    line: LineName
    spec: EmbeddingSpec
    limits: ImageLimits
    decode_threads: int

    def batches(self, samples: Sequence[str], judgement: Judgement = Judgement.GOOD) -> Iterator[Tensor]:
        """uint8 (B, 3, S, S) in the order of `samples`. Raises TrainingError if one no longer decodes."""
        for pixels in in_batches(self.pictures(samples, judgement), BATCH_SIZE):
            yield stack_pixels(pixels)

    def pictures(self, samples: Sequence[str], judgement: Judgement = Judgement.GOOD) -> Iterator[Tensor]:
        """uint8 (3, S, S) each, in the order of `samples`. Raises TrainingError if one no longer decodes."""
        return map_in_order(self._decoder(judgement), samples, threads=self.decode_threads)

    def _decoder(self, judgement: Judgement) -> Callable[[str], Tensor]:
        def decode(sample: str) -> Tensor:
            content = self.store.read(self.line, judgement, sample)
            try:
                picture = decode_picture(
                    content, input_size=self.spec.input_size, aspect=self.spec.aspect, limits=self.limits
                )
            except InvalidFrame as error:
                raise TrainingError(f"sample {sample} of line {self.line}: {error.detail}") from None
            return picture.pixels

        return decode


def in_batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of `size` items, the last one perhaps shorter."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
