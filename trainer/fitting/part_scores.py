"""Normalise the scores of a head's parts by those of good frames, cell by cell, so that the parts can be added.

At the border of a picture and at edges of the part, features spread wider and distances are higher on good frames too;
without a measure for each cell, a defect on a flat place would have to exceed them. With few frames, a cell's mean and
variance are shrunk towards those of all cells.
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
"""A cell seen in so many frames weighs its own figures and those of all cells equally."""
SMALLEST = 1e-6


@dataclass(frozen=True, slots=True)
class CellRows:
    """Features of good frames, not standardised, and the cell of each.

    Shapes: `cells` int64 (N,), 0 to rows x columns - 1.
    """

    bank: PatchBank
    cells: Tensor
    size: tuple[int, int]
    """Rows and columns of the grid, (h0, w0)."""


@dataclass(frozen=True, slots=True)
class PartWeights:
    """Weight of each part in the sum, in standard deviations of good patches."""

    distances: tuple[float, ...]
    """Weights of the distances among themselves; their sum counts 1."""
    learned: float
    """Weight of each discriminator."""


@torch.no_grad()
def normalise_parts(
    heads: Sequence[Head],
    judged: Sequence[tuple[Head, CellRows]],
    weights: PartWeights,
    *,
    spread_cells: float = 0.0,
) -> None:
    """Set the same offset and scale in all heads, by the scores of good frames in the heads that judge them.

    A cell's measure includes its neighbours, weighted by a Gaussian of `spread_cells`; 0: none. Distances are
    normalised cell by cell, and their weighted sum to a standard deviation of 1; discriminators, which separate good
    from anomalous by themselves, over all cells alike. Heads are on the CPU, in eval mode, of one shape.
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
    """Compute the parts' scores of all rows, float64 (parts, N)."""
    return torch.cat([head.part_scores(chunk) for chunk in bank.chunks()], dim=1).double()


def _by_cell(scores: Tensor, cells: Tensor, size: tuple[int, int], spread_cells: float) -> tuple[Tensor, Tensor]:
    """Compute offset and scale at each cell. Shapes: (N,), (N,) -> (h0, w0) each."""
    seen = _sums_by_cell(torch.ones_like(scores), cells, size, spread_cells)
    mean = _mean_by_cell(scores, cells, seen, size, spread_cells)
    variance = _mean_by_cell((scores - mean[cells]).square(), cells, seen, size, spread_cells)
    own_share = seen / (seen + PRIOR_FRAMES)
    overall = variance.mean()
    leaning = own_share * variance + (1 - own_share) * overall
    offset = own_share * mean + (1 - own_share) * mean.mean()
    # Half of it is common to all cells: an empty background hardly varies, and a tiny change there is no defect.
    return offset.view(size), ((leaning + overall) / 2).sqrt().clamp_min(SMALLEST).view(size)


def _mean_by_cell(values: Tensor, cells: Tensor, seen: Tensor, size: tuple[int, int], spread_cells: float) -> Tensor:
    """Average the values at each cell; a cell that was never seen gets the mean of all."""
    sums = _sums_by_cell(values, cells, size, spread_cells)
    return torch.where(seen > 0, sums / seen.clamp_min(SMALLEST), values.mean())


def _sums_by_cell(values: Tensor, cells: Tensor, size: tuple[int, int], spread_cells: float) -> Tensor:
    """Add up the values at each cell. Shapes: (N,), (N,) -> (h0 w0,)."""
    sums = torch.zeros(math.prod(size), dtype=torch.float64).index_add_(0, cells, values)
    if not spread_cells:
        return sums
    spread = gaussian_filter(sums.view(size).numpy(), spread_cells, mode="reflect")
    # Scaled to the number of cells that so smooth an average is worth: its variance is that of 4 pi sigma^2 cells.
    return torch.from_numpy(4 * math.pi * spread_cells**2 * spread).flatten()
