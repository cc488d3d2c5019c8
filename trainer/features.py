"""The embedding of every training frame, computed once and kept: the backbone is frozen, so it never changes."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from qc_worker.domain.errors import TrainingError
from qc_worker.simplenet.scorer import Scorer
from qc_worker.simplenet.standardiser import Standardiser
from trainer.progress import Advance

BYTES_PER_NUMBER = 4
ROWS_AT_ONCE = 65_536


@dataclass(frozen=True, slots=True)
class PatchFeatures:
    """Standardised patch features of the training frames."""

    patches: Tensor
    """(N, C), each channel with mean 0 and standard deviation 1; frame after frame."""
    standardiser: Standardiser
    """Maps embeddings to these patches."""


def collect_features(
    scorer: Scorer,
    batches: Iterable[Tensor],
    *,
    n_frames: int,
    max_bytes: int,
    seed: int,
    advance: Advance,
) -> PatchFeatures:
    """Embed `n_frames` frames; `batches` are uint8 (B, 3, S, S), `advance` is told the frames of each batch.

    All patches are kept if they fit into `max_bytes`, else the same number of every frame, drawn at random.
    Raises TrainingError if not even one patch per frame fits.
    """
    random = torch.Generator().manual_seed(seed)
    bank = torch.empty(0)
    filled = 0
    for pixels in batches:
        rows = _rows_by_frame(scorer.embed(pixels).cpu())
        if not filled:
            bank = _allocate(rows, n_frames, max_bytes)
        kept = _draw(rows, len(bank) // n_frames, random).flatten(0, 1)
        bank[filled : filled + len(kept)] = kept
        filled += len(kept)
        advance(len(pixels))
    return standardise(bank[:filled])


def standardise(patches: Tensor) -> PatchFeatures:
    """Scale each channel of (N, C) to mean 0 and standard deviation 1, in place.

    Raises TrainingError for features that are not finite.
    """
    standardiser = Standardiser(patches.shape[1])
    standardiser.adopt(*channel_statistics(patches))
    if not all(bool(torch.isfinite(buffer).all()) for buffer in standardiser.buffers()):
        raise TrainingError("the backbone gave features that are not finite: check its weights file")
    # Not by calling the standardiser: that would need the memory of the features a second time.
    patches.sub_(standardiser.mean).div_(standardiser.std)
    return PatchFeatures(patches, standardiser)


def channel_statistics(patches: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation over N of (N, C), both (C,), summed in float64."""
    nothing = torch.zeros(patches.shape[1], dtype=torch.float64)
    mean = sum((rows.double().sum(0) for rows in torch.split(patches, ROWS_AT_ONCE)), nothing) / len(patches)
    squares = (((rows.double() - mean) ** 2).sum(0) for rows in torch.split(patches, ROWS_AT_ONCE))
    return mean, (sum(squares, nothing) / len(patches)).sqrt()


def _rows_by_frame(embedding: Tensor) -> Tensor:
    return embedding.flatten(2).transpose(1, 2)


def _allocate(rows: Tensor, n_frames: int, max_bytes: int) -> Tensor:
    _, per_frame, channels = rows.shape
    affordable = max_bytes // (n_frames * channels * BYTES_PER_NUMBER)
    if affordable < 1:
        raise TrainingError(
            f"{n_frames} frames with {channels} channels do not fit into {max_bytes} bytes of features: "
            "allow more with --max-feature-mib"
        )
    return torch.empty(n_frames * min(per_frame, affordable), channels)


def _draw(rows: Tensor, n_kept: int, random: torch.Generator) -> Tensor:
    """(B, P, C) -> (B, n_kept, C), without replacement."""
    if n_kept == rows.shape[1]:
        return rows
    chosen = torch.rand(rows.shape[:2], generator=random).argsort(1)[:, :n_kept]
    return rows.gather(1, chosen.unsqueeze(-1).expand(-1, -1, rows.shape[2]))
