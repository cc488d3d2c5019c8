"""What good frames score at each cell, so that a head can judge every cell by its own measure.

Where a picture ends or a part has an edge, features spread wider and patch scores are higher on good frames too; a
defect on a flat place would have to exceed them. A cell's mean and variance come from the training frames, never from
the held-out ones, and lean on those of all cells where frames are few.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from qc_worker.simplenet.head import Head
from trainer.patch_bank import PatchFeatures

PRIOR_FRAMES = 10
"""A cell's own figures count as much as all cells' together once it was seen in that many frames."""


@dataclass(frozen=True, slots=True)
class CellRows:
    """Rows of the training frames and the cell of each. Shapes: `cells` int64 (N,), 0 to h0 w0 - 1, row by row."""

    features: PatchFeatures
    cells: Tensor
    size: tuple[int, int]
    """Rows and columns of the grid, (h0, w0)."""


@torch.no_grad()
def normalise_cells(head: Head, rows: CellRows) -> None:
    """Set the head's offset and scale. `head` on the CPU, in eval mode, with its own still 0 and 1."""
    chunks = rows.features.standardised_chunks()
    scores = -torch.cat([head.discriminator(head.adaptor(chunk)) for chunk in chunks]).double()
    seen = torch.zeros(math.prod(rows.size), dtype=torch.float64).index_add_(0, rows.cells, torch.ones_like(scores))
    mean = _by_cell(scores, rows.cells, seen)
    variance = _by_cell((scores - mean[rows.cells]).square(), rows.cells, seen)
    own_share = seen / (seen + PRIOR_FRAMES)
    overall = variance.mean()
    leaning = own_share * variance + (1 - own_share) * overall
    head.offset.copy_((own_share * mean + (1 - own_share) * mean.mean()).view(rows.size))
    # Half of it is common to all cells: an empty background hardly varies, and the least change there is no defect.
    head.scale.copy_(((leaning + overall) / 2).sqrt().clamp_min(1e-6).view(rows.size))


def _by_cell(values: Tensor, cells: Tensor, seen: Tensor) -> Tensor:
    """Mean of the values at each cell, that of all where a cell was never seen."""
    sums = torch.zeros(len(seen), dtype=torch.float64).index_add_(0, cells, values)
    return torch.where(seen > 0, sums / seen.clamp_min(1), values.mean())
