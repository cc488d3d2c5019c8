"""What good frames score in each part of a head, so that the parts can be added and every cell has its own measure.

Where a picture ends or a part has an edge, features spread wider and distances are higher on good frames too; a defect
on a flat place would have to exceed them. A cell's mean and variance lean on those of all cells where frames are few.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

from qc_worker.simplenet.head import Head
from trainer.features.patch_bank import PatchBank

PRIOR_FRAMES = 10
"""A cell's own figures count as much as all cells' together once it was seen in that many frames."""
SMALLEST = 1e-6


@dataclass(frozen=True, slots=True)
class CellRows:
    """Features of good frames, as they are, and the cell of each.

    Shapes: `cells` int64 (N,), 0 to rows x columns - 1.
    """

    bank: PatchBank
    cells: Tensor
    size: tuple[int, int]
    """Rows and columns of the grid, (h0, w0)."""


@dataclass(frozen=True, slots=True)
class PartWeights:
    """What each part counts in the sum, in standard deviations of good patches."""

    distances: tuple[float, ...]
    """Of the distances among themselves; their sum counts 1."""
    learned: float
    """Of each discriminator."""


@torch.no_grad()
def normalise_parts(
    heads: Sequence[Head],
    judged: Sequence[tuple[Head, CellRows]],
    weights: PartWeights,
    *,
    spread_cells: float = 0.0,
) -> None:
    """Give all heads the same offset and scale, by what good frames score in the heads that judge them.

    A cell's measure takes in its neighbours as a Gaussian of `spread_cells` weighs them; 0: no others. Distances are
    normalised cell by cell, and their weighted sum to a standard deviation of 1; discriminators, which tell good from
    anomalous by themselves, over all cells alike. Heads are on the CPU, in eval mode, of one shape.
    """
    shape, size = heads[0].shape, judged[0][1].size
    scores = torch.cat([_scores(head, rows.bank) for head, rows in judged], dim=1)
    cells = torch.cat([rows.cells for _, rows in judged])
    offset, scale = (torch.empty(shape.parts, *size, dtype=torch.float64) for _ in range(2))
    distances = len(shape.distances)
    for part in range(distances):
        offset[part], scale[part] = _by_cell(scores[part], cells, size, spread_cells)
    if distances:
        own = torch.tensor(weights.distances, dtype=torch.float64)[:, None]
        normal = (scores[:distances] - offset[:distances].flatten(1)[:, cells]) / scale[:distances].flatten(1)[:, cells]
        scale[:distances] *= ((own * normal).sum(dim=0).std().clamp_min(SMALLEST) / own)[:, :, None]
    for part in range(distances, shape.parts):
        offset[part] = scores[part].mean()
        scale[part] = scores[part].std().clamp_min(SMALLEST) / weights.learned
    for head in heads:
        head.offset.copy_(offset)
        head.scale.copy_(scale)


def _scores(head: Head, bank: PatchBank) -> Tensor:
    """Parts' scores of all rows, float64 (parts, N)."""
    return torch.cat([head.part_scores(chunk) for chunk in bank.chunks()], dim=1).double()


def _by_cell(scores: Tensor, cells: Tensor, size: tuple[int, int], spread_cells: float) -> tuple[Tensor, Tensor]:
    """Offset and scale at each cell. Shapes: (N,), (N,) -> (h0, w0) each."""
    seen = _sums_by_cell(torch.ones_like(scores), cells, size, spread_cells)
    mean = _mean_by_cell(scores, cells, seen, size, spread_cells)
    variance = _mean_by_cell((scores - mean[cells]).square(), cells, seen, size, spread_cells)
    own_share = seen / (seen + PRIOR_FRAMES)
    overall = variance.mean()
    leaning = own_share * variance + (1 - own_share) * overall
    offset = own_share * mean + (1 - own_share) * mean.mean()
    # Half of it is common to all cells: an empty background hardly varies, and the least change there is no defect.
    return offset.view(size), ((leaning + overall) / 2).sqrt().clamp_min(SMALLEST).view(size)


def _mean_by_cell(values: Tensor, cells: Tensor, seen: Tensor, size: tuple[int, int], spread_cells: float) -> Tensor:
    """Mean of the values at each cell, that of all where a cell was never seen."""
    sums = _sums_by_cell(values, cells, size, spread_cells)
    return torch.where(seen > 0, sums / seen.clamp_min(SMALLEST), values.mean())


def _sums_by_cell(values: Tensor, cells: Tensor, size: tuple[int, int], spread_cells: float) -> Tensor:
    """Shapes: (N,), (N,) -> (h0 w0,)."""
    sums = torch.zeros(math.prod(size), dtype=torch.float64).index_add_(0, cells, values)
    if not spread_cells:
        return sums
    spread = gaussian_filter(sums.view(size).numpy(), spread_cells, mode="reflect")
    # As many as so smooth an average is worth: its variance is that of 4 pi sigma^2 cells.
    return torch.from_numpy(4 * math.pi * spread_cells**2 * spread).flatten()
