"""Measures distances in locally whitened space for several levels and lines at once, without waiting for the device.

The same steps as `local_distances`: pairs of a feature and a component are sorted by component into blocks of equal
length, so that one batched product serves all. Here every shape follows from the shapes of the arguments, never from
the numbers in them: a GPU need not be asked how many features lie in a component, and the calls can be recorded.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Components:
    """Components of all lines, line after line, in a table for each of J levels.

    Shapes: `centres` float32 (J, C, d), `whiteners[j]` (C, d_j, d_j); centres are filled up with zeros to the largest
    d_j.
    """

    centres: Tensor
    whiteners: tuple[Tensor, ...]

    def behind(self, others: "Components", kept: Tensor, *, each: int) -> "Components":
        """Put these components behind those of the kept lines of `others`, a table with ends; each line has `each`."""
        rows = (each * kept[:, None] + torch.arange(each, device=kept.device)).flatten()
        centres = others.centres[:, 1:-1].index_select(1, rows)
        tables = [table[1:-1].index_select(0, rows) for table in others.whiteners]
        whiteners = tuple(torch.cat(pair) for pair in zip(tables, self.whiteners, strict=True))
        return Components(torch.cat([centres, self.centres], dim=1), whiteners)

    def ended(self) -> "Components":
        """Add a row before the first component and one behind the last: that of blocks which nobody needs."""
        whiteners = tuple(F.pad(table, (0, 0, 0, 0, 1, 1)) for table in self.whiteners)
        return Components(F.pad(self.centres, (0, 0, 1, 1)), whiteners)


def stacked_distances(features: Tensor, nearest: Tensor, components: Components, *, in_use: int) -> Tensor:
    """Compute the distance of each feature to the best of its nearest components, numbered from 0 over all lines.

    `components` has ends. `in_use`: most components of a level that the batch can need, those of its lines. The last
    row of `features` belongs to nobody and may hold anything.
    Shapes: float32 (J, N + 1, d), int64 (J, N, m) -> float32 (J, N).
    """
    levels, rows, each = nearest.shape
    length = _block_length(rows * each, in_use)
    count = min(rows * each, in_use) + rows * each // length
    owners, pairs = _blocks(nearest.reshape(levels, -1), components.centres.shape[1] - 2, length, count)
    level, rows_of_places = _counted(0, levels, features.device)[:, None], pairs // each
    gathered = features[level, rows_of_places].view(levels, count, length, -1)
    offsets = torch.empty_like(gathered, dtype=components.whiteners[0].dtype)
    torch.sub(gathered, components.centres[level, owners][:, :, None], out=offsets)
    found = features.new_empty(levels, count, length)
    for index, whiteners in enumerate(components.whiteners):
        whitened = torch.bmm(offsets[index, :, :, : whiteners.shape[1]], whiteners.index_select(0, owners[index]))
        torch.linalg.vector_norm(whitened, dim=-1, dtype=torch.float32, out=found[index])
    farthest = _filled(levels, rows + 1, math.inf, features.device)
    return torch.scatter_reduce(farthest, 1, rows_of_places, found.flatten(1), "amin")[:, :rows]


def _block_length(pairs: int, components: int) -> int:
    """Choose a power of two above the mean pairs per component: padding costs a GPU less than copies of whiteners."""
    return 1 << max(2, (pairs // components).bit_length())


def _blocks(components_of_pairs: Tensor, components: int, length: int, count: int) -> tuple[Tensor, Tensor]:
    """Place pairs into `count` blocks, of which each has one component.

    Shapes: int64 (J, P) -> the row of each block's component in its table, (J, count), and the pair at each place of
    the blocks, (J, count x length), P at places that are empty.
    """
    levels, pairs = components_of_pairs.shape
    device = components_of_pairs.device
    owners, order = components_of_pairs.sort(dim=1)
    # starts[:, c + 1] is where component c starts among the sorted pairs; nobody's component comes first.
    starts = torch.searchsorted(owners, _counted(-1, components + 2, device, levels))
    blocks = (starts[:, 1:] - starts[:, :-1]).add_(length - 1).div_(length, rounding_mode="floor")
    until = blocks.cumsum(dim=1)
    ahead = torch.sub(starts[:, 1:], until, alpha=length)
    places = _counted(0, pairs, device) - ahead.gather(1, owners)
    of_blocks = torch.searchsorted(until, _counted(0, count, device, levels), right=True)
    return of_blocks, torch.scatter(_filled(levels, count * length, pairs, device), 1, places, order)


@lru_cache(maxsize=128)
def _counted(start: int, count: int, device: torch.device, levels: int | None = None) -> Tensor:
    """Count from `start`, for each level if `levels` is given. Shapes: int64 (count,) or (levels, count)."""
    numbers = torch.arange(start, start + count, device=device)
    return numbers if levels is None else numbers.repeat(levels, 1)


@lru_cache(maxsize=16)
def _filled(levels: int, count: int, number: float, device: torch.device) -> Tensor:
    """Return copies of a number that nobody changes. Shape: (levels, count), int64 for a whole number."""
    return torch.full((levels, count), number, device=device)
