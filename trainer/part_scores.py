"""What good frames score in each part of a head, so that the parts can be added and every cell has its own measure.

Where a picture ends or a part has an edge, features spread wider and distances are higher on good frames too; a defect
on a flat place would have to exceed them. A cell's mean and variance come from the training frames, never from the
held-out ones, and lean on those of all cells where frames are few.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from qc_worker.simplenet.head import Head
from trainer.patch_bank import PatchFeatures

PRIOR_FRAMES = 10
"""A cell's own figures count as much as all cells' together once it was seen in that many frames."""
SMALLEST = 1e-6


@dataclass(frozen=True, slots=True)
class CellRows:
    """Rows of the training frames and the cell of each. Shapes: `cells` int64 (N,), 0 to rows x columns - 1."""

    features: PatchFeatures
    cells: Tensor
    size: tuple[int, int]
    """Rows and columns of the grid, (h0, w0)."""


@torch.no_grad()
def normalise_parts(head: Head, rows: CellRows, *, distance_weights: tuple[float, ...], learned_weight: float) -> None:
    """Set the head's offset and scale. `head` on the CPU, in eval mode, with its own still 0 and 1.

    Distances are normalised cell by cell, and their weighted sum to a standard deviation of 1; discriminators, which
    tell good from anomalous by themselves, over all cells alike, to one of `learned_weight`.
    """
    scores = _scores(head, rows.features)
    n_distances = len(head.shape.distances)
    for part in range(n_distances):
        head.offset[part], head.scale[part] = _by_cell(scores[part], rows.cells, rows.size)
    if n_distances:
        _weigh_distances(head, scores[:n_distances], rows.cells, torch.tensor(distance_weights))
    for part in range(n_distances, head.shape.parts):
        head.offset[part] = scores[part].mean()
        head.scale[part] = scores[part].std().clamp_min(SMALLEST) / learned_weight


def _scores(head: Head, features: PatchFeatures) -> Tensor:
    """Parts' scores of all rows, float64 (parts, N)."""
    standardiser = head.standardiser
    chunks = (rows * standardiser.std + standardiser.mean for rows in features.standardised_chunks())
    return torch.cat([head.part_scores(chunk) for chunk in chunks], dim=1).double()


def _weigh_distances(head: Head, scores: Tensor, cells: Tensor, weights: Tensor) -> None:
    offset, scale = (tensor[: len(scores)].flatten(1)[:, cells] for tensor in (head.offset, head.scale))
    spread = (weights[:, None] * (scores - offset) / scale).sum(dim=0).std().clamp_min(SMALLEST)
    head.scale[: len(scores)] *= (spread / weights)[:, None, None]


def _by_cell(scores: Tensor, cells: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Offset and scale at each cell. Shapes: (N,), (N,) -> (h0, w0) each."""
    seen = torch.zeros(math.prod(size), dtype=torch.float64).index_add_(0, cells, torch.ones_like(scores))
    mean = _mean_by_cell(scores, cells, seen)
    variance = _mean_by_cell((scores - mean[cells]).square(), cells, seen)
    own_share = seen / (seen + PRIOR_FRAMES)
    overall = variance.mean()
    leaning = own_share * variance + (1 - own_share) * overall
    offset = own_share * mean + (1 - own_share) * mean.mean()
    # Half of it is common to all cells: an empty background hardly varies, and the least change there is no defect.
    return offset.view(size), ((leaning + overall) / 2).sqrt().clamp_min(SMALLEST).view(size)


def _mean_by_cell(values: Tensor, cells: Tensor, seen: Tensor) -> Tensor:
    """Mean of the values at each cell, that of all where a cell was never seen."""
    sums = torch.zeros(len(seen), dtype=torch.float64).index_add_(0, cells, values)
    return torch.where(seen > 0, sums / seen.clamp_min(1), values.mean())
