"""How well a head tells synthetic defects from good frames that it was not fitted to: what early stopping looks at.

The frames are training frames kept out of the fit. Calibration frames never take part: a threshold is valid only if the
held-out frames had no say in anything about the head.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from qc_worker.simplenet.head import Head
from qc_worker.simplenet.metrics import auroc
from trainer.features import FeatureCounts, FrameFeatures, drawn_cells, embed_frames, grid_size, stored
from trainer.pictures import SampleReader
from trainer.precision import multiplying_in
from trainer.progress import Advance
from trainer.synthetic import synthetic_defect
from trainer.threads import map_in_order

DEFECTIVE_SHARE = 0.1
"""A cell counts as defective if at least this share of it is."""
NAME_DIGITS = 16


@dataclass(frozen=True, slots=True)
class SyntheticFrame:
    """A good sample with a defect drawn on it. `pixels`: uint8 (3, H, W); `mask`: bool (H, W)."""

    sample: str
    pixels: Tensor
    mask: Tensor

    @property
    def name(self) -> str:
        """Under which its features are kept; says which picture it is, so a new way of drawing is never mistaken."""
        content = hashlib.sha256(self.pixels.numpy().tobytes()).hexdigest()
        return f"{self.sample}-{content[:NAME_DIGITS]}"

    def cells(self, size: tuple[int, int]) -> Tensor:
        """Which of h0 x w0 cells are defective, at least one; (h0 w0,), row by row."""
        share = F.adaptive_avg_pool2d(self.mask.float()[None], size).flatten()
        return share >= min(DEFECTIVE_SHARE, float(share.max()))


@dataclass(frozen=True, slots=True)
class ValidationFrames:
    """Rows of each frame, (P, C), and which of a synthetic frame's rows are defective, (P,)."""

    good: tuple[Tensor, ...]
    synthetic: tuple[Tensor, ...]
    defective: tuple[Tensor, ...]

    def auroc(self, head: Head, *, dtype: torch.dtype) -> float:
        """Mean of two areas: frames by their highest patch score, and defective patches against those of good frames.

        A head finds large weak defects by the first and small ones by the second. `head` in eval mode.
        """
        good = [_scores(head, rows, dtype) for rows in self.good]
        synthetic = [_scores(head, rows, dtype) for rows in self.synthetic]
        of_frames = auroc([float(scores.max()) for scores in good], [float(scores.max()) for scores in synthetic])
        found = [scores[defective] for scores, defective in zip(synthetic, self.defective, strict=True)]
        of_patches = auroc(torch.cat(good).tolist(), torch.cat(found).tolist())
        return (of_frames + of_patches) / 2


def draw_synthetic(reader: SampleReader, samples: Sequence[str], *, advance: Advance) -> list[SyntheticFrame]:
    """One synthetic defect on each good sample, the same whenever it is drawn. Raises TrainingError."""

    def draw(sample: str, pixels: Tensor) -> SyntheticFrame:
        altered, mask = synthetic_defect(pixels, np.random.default_rng(int(sample, 16)))
        return SyntheticFrame(sample, altered, torch.from_numpy(mask))

    pairs = zip(samples, reader.pictures(samples), strict=True)
    drawn = []
    for frame in map_in_order(lambda pair: draw(*pair), pairs, threads=reader.decode_threads):
        drawn.append(frame)
        advance(1)
    return drawn


def validation_frames(
    features: FrameFeatures, synthetic: Sequence[SyntheticFrame], counts: FeatureCounts, *, advance: Advance
) -> ValidationFrames:
    """Features of the synthetic frames and of the good ones beneath them. Raises TrainingError, OSError."""
    good = features.of_samples([frame.sample for frame in synthetic], counts, advance=advance)
    kept = [_kept_cells(features, frame) for frame in synthetic]
    return ValidationFrames(
        good=tuple(good),
        synthetic=tuple(_synthetic_rows(features, synthetic, kept, advance)),
        defective=tuple(defective[cells] for cells, defective in kept),
    )


def _kept_cells(features: FrameFeatures, frame: SyntheticFrame) -> tuple[Tensor, Tensor]:
    """The cells whose features are kept, defective ones first, and which of all cells are defective."""
    defective = frame.cells(grid_size(features.scorer.spec))
    cells = drawn_cells(
        frame.sample, len(defective), features.patches_per_frame, first=defective, judged=features.judged
    )
    return cells, defective


def _synthetic_rows(
    features: FrameFeatures, frames: Sequence[SyntheticFrame], kept: Sequence[tuple[Tensor, Tensor]], advance: Advance
) -> list[Tensor]:
    found = [features.shelf.get(frame.name) for frame in frames]
    missing = [index for index, rows in enumerate(found) if rows is None]
    advance(len(found) - len(missing), "cached")
    area = features.scorer.ignored_area(features.ignored)
    embedded = embed_frames(features.scorer, (frames[index].pixels for index in missing), area)
    for index, embedding in zip(missing, embedded, strict=True):
        rows = stored(embedding[kept[index][0]])
        features.shelf.put(frames[index].name, rows)
        found[index] = rows
        advance(1)
    return [rows for rows in found if rows is not None]


@torch.no_grad()
def _scores(head: Head, rows: Tensor, dtype: torch.dtype) -> Tensor:
    device = head.standardiser.mean.device
    with multiplying_in(dtype, device):
        normality: Tensor = head.discriminator(head.adaptor(head.standardiser(rows.to(device).float())))
    return -normality.float().cpu()
