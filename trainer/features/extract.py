"""Patch features of the frames that a head is fitted to, each computed once: the backbone is frozen.

A frame's features depend on the frame alone: backbone passes have a fixed number of frames, and which cells are kept is
drawn by the frame's own SHA-256. So they are the same bits whether they were kept from an earlier training or computed
in this one, whatever the seed and the other frames.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

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

STORED = {torch.bfloat16: torch.bfloat16, torch.float32: torch.float16}
"""By the backbone's number format: bfloat16 as it is, float32 rounded to a finer sixteen bits than bfloat16."""
BYTES_PER_NUMBER = 2
SEED_DIGITS = 15
"""Hexadecimal digits of a SHA-256 that fit into torch's seeds."""


@dataclass(slots=True)
class FeatureCounts:
    """Frames by where their features came from."""

    computed: int = 0
    cached: int = 0


@dataclass(frozen=True, slots=True)
class FrameFeatures:
    """Features of a line's frames: from the shelf, else from the backbone and then onto the shelf."""

    scorer: Scorer
    reader: SampleReader
    shelf: Shelf
    patches_per_frame: int
    ignored: Ignored | None = None

    @property
    def judged(self) -> Tensor | None:
        """Cells that show something that is judged, bool (h0 w0,); None: all do."""
        return None if self.ignored is None else judged_cells(self.ignored, self.scorer.spec.grid)

    def of_samples(self, samples: Sequence[str], counts: FeatureCounts, *, advance: Advance) -> list[Tensor]:
        """Rows of good samples, in order, one (P, C) each, mapped from disk. Raises TrainingError, OSError."""
        found = {sample: self.shelf.get(sample) for sample in samples}
        missing = _without_rows(found)
        counts.cached += len(found) - len(missing)
        advance(len(found) - len(missing), "cached")
        for sample, rows in self._computed(missing):
            self.shelf.put(sample, rows)
            counts.computed += 1
            advance(1)
        # Mapped only now: thousands of small things that stay, made between large ones that go, would cut up the heap,
        # by 2.3 MB a frame at WideResNet-50.
        give_back_freed_memory()
        found |= {sample: self.shelf.get(sample) for sample in missing}
        # Gone again already where another process clears up the same folder.
        found |= dict(self._computed(_without_rows(found)))
        return [rows for rows in map(found.__getitem__, samples) if rows is not None]

    def _computed(self, samples: Sequence[str]) -> Iterator[tuple[str, Tensor]]:
        judged = self.judged
        embedded = embed_frames(self.scorer, self.reader.pictures(samples), self.scorer.ignored_area(self.ignored))
        for sample, (embedding, _) in zip(samples, embedded, strict=True):
            cells = drawn_cells(sample, len(embedding), self.patches_per_frame, judged=judged)
            yield sample, stored(embedding[cells])


def _without_rows(found: Mapping[str, Tensor | None]) -> list[str]:
    return [sample for sample, rows in found.items() if rows is None]


def embed_frames(
    scorer: Scorer, pictures: Iterable[Tensor], area: IgnoredArea | None = None
) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Embed frames, uint8 (3, H, W) each; gives (h0 w0, C) for each, on the CPU, in the number format of `scorer`.

    With it comes that of mask levels, (h_m w_m, C_m), None if the scorer has none. What lies in the ignored `area` has
    no influence on them.

    Every pass has BATCH_SIZE frames, the last one filled up: kernels choose how to sum by the size of the batch, so
    only then does a frame have the same bits whatever else is in its batch.
    """
    for pixels in in_batches(pictures, BATCH_SIZE):
        full = stack_pixels([pixels[index % len(pixels)] for index in range(BATCH_SIZE)])
        embedding, fine = scorer.embed_twice(full, area)
        rows = embedding[: len(pixels)].cpu().flatten(2).transpose(1, 2)
        fine_rows = [None] * len(rows) if fine is None else fine[: len(pixels)].cpu().flatten(2).transpose(1, 2)
        yield from zip(rows, fine_rows, strict=True)


def drawn_cells(sample: str, n_cells: int, n_kept: int, judged: Tensor | None = None) -> Tensor:
    """Which cells of a frame are kept, ascending: drawn by its SHA-256 alone; none but those of `judged`.

    Shapes: `judged` bool (n_cells,), None: all -> int64 (min(cells to draw from, n_kept),).
    """
    random = torch.Generator().manual_seed(int(sample[:SEED_DIGITS], 16))
    order = torch.randperm(n_cells, generator=random)
    if judged is not None:
        order = order[judged[order]]
    return order[:n_kept].sort().values


def stored(rows: Tensor) -> Tensor:
    """Rows in the number format they are kept in. Raises TrainingError for numbers that it cannot hold."""
    kept = rows.to(STORED[rows.dtype])
    if not bool(torch.isfinite(kept).all()):
        raise TrainingError("the backbone gave features that are not finite: check its weights file")
    return kept


def feature_bytes(spec: FeatureSpec, channels: int) -> int:
    """Bytes on disk of one frame's features."""
    cells = math.prod(spec.embedding.grid)
    return HEADER_BYTES + min(spec.patches_per_frame, cells) * channels * BYTES_PER_NUMBER
