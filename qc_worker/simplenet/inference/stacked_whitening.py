"""Measures distances in locally whitened space for several levels and lines at once, without waiting for the device.

The same steps as `local_distances`: pairs of a feature and a component are sorted by component into blocks of equal
length, so that one batched product serves all. Here every shape follows from the shapes of the arguments, never from
the numbers in them: a GPU need not be asked how many features lie in a component, and the calls can be recorded.
"""

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
        centres = others.centres[:, 1:-1].unflatten(1, (-1, each)).index_select(1, kept).flatten(1, 2)
        tables = [
            table[1:-1].unflatten(0, (-1, each)).index_select(0, kept).flatten(0, 1) for table in others.whiteners
        ]
        whiteners = tuple(torch.cat(pair) for pair in zip(tables, self.whiteners, strict=True))
        return Components(torch.cat([centres, self.centres], dim=1), whiteners)

    def ended(self) -> "Components":
        """Add a row before the first component and one behind the last: that of blocks which nobody needs."""
        whiteners = tuple(F.pad(table, (0, 0, 0, 0, 1, 1)) for table in self.whiteners)
        return Components(F.pad(self.centres, (0, 0, 1, 1)), whiteners)


@dataclass(frozen=True, slots=True)
class _Blocks:
    """Places of pairs in blocks. Shapes: int64 (J, blocks) and (J, blocks x length) and (J, pairs)."""

    owners: Tensor
    """Row of each block's component in the table."""
    pairs: Tensor
    """Pair at each place of a block; any pair where the place is empty."""
    slots: Tensor
    """Place of each pair."""


def stacked_distances(features: Tensor, nearest: Tensor, components: Components, *, in_use: int) -> Tensor:
    """Compute the distance of each feature to the best of its nearest components, numbered from 0 over all lines.

    `components` has ends. `in_use`: most components of a level that the batch can need, those of its lines.
    Shapes: float32 (J, N, d), int64 (J, N, m) -> float32 (J, N).
    """
    levels, rows, each = nearest.shape
    length = _block_length(rows * each, in_use)
    count = min(rows * each, in_use) + rows * each // length
    blocks = _blocks(nearest.reshape(levels, -1), components.centres.shape[1] - 2, length, count)
    level = _counted(0, levels, features.device)[:, None]
    offsets = features[level, blocks.pairs // each].view(levels, count, length, -1)
    offsets = offsets.sub_(components.centres[level, blocks.owners][:, :, None])
    found = offsets.new_empty(levels, count, length)
    for index, whiteners in enumerate(components.whiteners):
        own = offsets[index, :, :, : whiteners.shape[1]].to(whiteners.dtype)
        whitened = torch.bmm(own, whiteners.index_select(0, blocks.owners[index]))
        torch.linalg.vector_norm(whitened, dim=-1, dtype=torch.float32, out=found[index])
    return found.flatten(1).gather(1, blocks.slots).view(nearest.shape).amin(dim=2)


def _block_length(pairs: int, components: int) -> int:
    """Choose a power of two above the mean pairs per component: padding costs a GPU less than copies of whiteners."""
    return 1 << max(2, (pairs // components).bit_length())


def _blocks(components_of_pairs: Tensor, components: int, length: int, count: int) -> _Blocks:
    """Place pairs into `count` blocks, of which each has one component. Shape: (J, pairs)."""
    levels, pairs = components_of_pairs.shape
    device = components_of_pairs.device
    owners, order = components_of_pairs.sort(dim=1)
    # starts[:, c + 1] is where component c starts among the sorted pairs; nobody's component comes first.
    starts = torch.searchsorted(owners, _counted(-1, components + 2, device, levels))
    blocks = (starts[:, 1:] - starts[:, :-1]).add_(length - 1).div_(length, rounding_mode="floor")
    until = blocks.cumsum(dim=1)
    ahead = torch.sub(starts[:, 1:], until, alpha=length)
    slots = _counted(0, pairs, device) - ahead.gather(1, owners)
    return _Blocks(
        owners=torch.searchsorted(until, _counted(0, count, device, levels), right=True),
        pairs=torch.scatter(_zeros(levels, count * length, device), 1, slots, order),
        slots=torch.scatter(slots, 1, order, slots),
    )


@lru_cache(maxsize=128)
def _counted(start: int, count: int, device: torch.device, levels: int | None = None) -> Tensor:
    """Count from `start`, for each level if `levels` is given. Shapes: int64 (count,) or (levels, count)."""
    numbers = torch.arange(start, start + count, device=device)
    return numbers if levels is None else numbers.repeat(levels, 1)


@lru_cache(maxsize=32)
def _zeros(levels: int, count: int, device: torch.device) -> Tensor:
    """Return zeros that nobody changes. Shape: int64 (levels, count)."""
    return torch.zeros((levels, count), dtype=torch.int64, device=device)
