"""Patch features of the frames that a head is fitted to, each computed once: the backbone is frozen.

A frame's features depend on the frame alone: backbone passes have a fixed number of frames, and the cells that are kept
are drawn by the frame's own SHA-256. So they have the same bits whether they were stored by an earlier training or
computed in this one, whatever the seed and the other frames.
"""

import math
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from torch import Tensor

from qc_worker.domain.errors import TrainingError
from qc_worker.imaging.preprocessing import stack_pixels
from qc_worker.runtime.cores_and_memory import give_back_freed_memory
from qc_worker.simplenet.inference.scorer import Scorer
from qc_worker.simplenet.regions import Ignored, IgnoredArea, judged_cells
from trainer.features.cache import Shelf
from trainer.features.file import HEADER_BYTES
from trainer.features.spec import BATCH_SIZE, FeatureSpec
from trainer.progress import Advance
from trainer.samples.reading import SampleReader, in_batches

STORED = {torch.bfloat16: torch.bfloat16, torch.float16: torch.float16, torch.float32: torch.float16}
"""Stored number format by the backbone's: 16 bits stay, float32 is rounded to a finer sixteen bits than bfloat16."""
BYTES_PER_NUMBER = 2
SEED_DIGITS = 15
"""Hexadecimal digits of a SHA-256 that fit into torch's seeds."""

Item = TypeVar("Item", bound=Hashable)


@dataclass(frozen=True, slots=True)
class FeatureCounts:
    """Number of frames whose features were computed, and of those whose features were in the cache."""

    computed: int = 0
    cached: int = 0


@dataclass(frozen=True, slots=True)
class Found(Generic[Item]):
    """Rows of each frame, mapped from disk, in the order asked for, and the number of frames computed and cached."""

    rows: Mapping[Item, Sequence[Tensor]]
    counts: FeatureCounts


@dataclass(frozen=True, slots=True)
class FrameFeatures:
    """Features of a line's frames, from the shelf or from the backbone."""

    scorer: Scorer
    reader: SampleReader
    shelf: Shelf
    patches_per_frame: int
    ignored: Ignored | None = None

    @property
    def judged(self) -> Tensor | None:
        """Mark the cells that show something that is judged, bool (h0 w0,); None: all do."""
        return None if self.ignored is None else judged_cells(self.ignored, self.scorer.spec.grid)

    def of(
        self,
        frames: Sequence[Item],
        *,
        names: Callable[[Item], Sequence[str]],
        compute: Callable[[Sequence[Item]], Iterator[Sequence[Tensor]]],
        advance: Advance,
    ) -> Found[Item]:
        """Get the rows of each frame from the shelf; compute and store those that are missing.

        `names` gives the names on the shelf of a frame's rows, `compute` the rows for these names, frame by frame.
        Raises TrainingError, OSError.
        """
        found = {frame: self._from_shelf(names(frame)) for frame in frames}
        missing = _without_rows(found)
        counts = FeatureCounts(computed=len(missing), cached=len(found) - len(missing))
        advance(counts.cached, "cached")
        for frame, computed in zip(missing, compute(missing), strict=True):
            for name, rows in zip(names(frame), computed, strict=True):
                self.shelf.put(name, rows)
            advance(1)
        # Mapped only now: thousands of small things that stay, made between large ones that go, would cut up the heap,
        # by 2.3 MB a frame at WideResNet-50.
        give_back_freed_memory()
        found |= {frame: self._from_shelf(names(frame)) for frame in missing}
        # Another process that clears up the same folder may have removed some of them already.
        gone = _without_rows(found)
        found |= dict(zip(gone, compute(gone), strict=True))
        return Found({frame: rows for frame, rows in found.items() if rows is not None}, counts)

    def of_samples(self, samples: Sequence[str], *, advance: Advance) -> tuple[list[Tensor], FeatureCounts]:
        """Get the rows of good samples, in order, (P, C) each. Raises TrainingError, OSError."""
        found = self.of(samples, names=lambda sample: [sample], compute=self._computed, advance=advance)
        return [rows for (rows,) in found.rows.values()], found.counts

    def _from_shelf(self, names: Sequence[str]) -> Sequence[Tensor] | None:
        """Map the rows under these names; None if any is absent."""
        rows = [self.shelf.get(name) for name in names]
        present = [each for each in rows if each is not None]
        return present if len(present) == len(rows) else None

    def _computed(self, samples: Sequence[str]) -> Iterator[Sequence[Tensor]]:
        judged = self.judged
        embedded = embed_frames(self.scorer, self.reader.pictures(samples), self.scorer.ignored_area(self.ignored))
        for sample, (embedding, _) in zip(samples, embedded, strict=True):
            cells = drawn_cells(sample, len(embedding), self.patches_per_frame, judged=judged)
            yield [stored(embedding[cells])]


def _without_rows(found: Mapping[Item, Sequence[Tensor] | None]) -> list[Item]:
    return [frame for frame, rows in found.items() if rows is None]


def embed_frames(
    scorer: Scorer, pictures: Iterable[Tensor], area: IgnoredArea | None = None
) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Embed frames, uint8 (3, H, W) each; give (h0 w0, C) for each, on the CPU, in the number format of `scorer`.

    With it comes the embedding of the mask levels, (h_m w_m, C_m), None if the scorer has none. Pixels in the ignored
    `area` have no influence on them.
    """
    for pixels in in_batches(pictures, BATCH_SIZE):
        # Always BATCH_SIZE frames, the last pass filled up: kernels choose how to sum by the size of the batch, so
        # only then does a frame have the same bits whatever else is in its batch.
        full = stack_pixels([pixels[index % len(pixels)] for index in range(BATCH_SIZE)])
        embedding, fine = scorer.embed_twice(full, area)
        rows = embedding[: len(pixels)].cpu().flatten(2).transpose(1, 2)
        fine_rows = [None] * len(rows) if fine is None else fine[: len(pixels)].cpu().flatten(2).transpose(1, 2)
        yield from zip(rows, fine_rows, strict=True)


def drawn_cells(sample: str, n_cells: int, n_kept: int, judged: Tensor | None = None) -> Tensor:
    """Draw the cells of a frame that are kept, by its SHA-256 alone, from the `judged` ones; ascending.

    Shapes: `judged` bool (n_cells,), None: all -> int64 (min(cells to draw from, n_kept),).
    """
    random = torch.Generator().manual_seed(int(sample[:SEED_DIGITS], 16))
    order = torch.randperm(n_cells, generator=random)
    if judged is not None:
        order = order[judged[order]]
    return order[:n_kept].sort().values


def stored(rows: Tensor) -> Tensor:
    """Round rows to the number format that they are stored in. Raises TrainingError for numbers that it cannot hold."""
    kept = rows.to(STORED[rows.dtype])
    if not bool(torch.isfinite(kept).all()):
        raise TrainingError("the backbone gave features that are not finite: check its weights file")
    return kept


def feature_bytes(spec: FeatureSpec, channels: int) -> int:
    """Return the bytes on disk of one frame's features."""
    cells = math.prod(spec.embedding.grid)
    return HEADER_BYTES + min(spec.patches_per_frame, cells) * channels * BYTES_PER_NUMBER
