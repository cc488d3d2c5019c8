"""A head as the worker uses it: one matrix for each level, applied at that level's own resolution.

Neighbourhood average, bilinear resize and 1x1 linear maps commute, because both averages give every channel the same
weights and these sum to one. So standardiser, adaptor, the discriminator's first layer and its BatchNorm fold into one
affine map, which splits by level: hidden = sum_l resize(z_l W_l) + bias. Exact but for rounding.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from qc_worker.simplenet.discriminator import NEGATIVE_SLOPE
from qc_worker.simplenet.head import Head
from qc_worker.simplenet.patch_features import largest_size, resize
from qc_worker.simplenet.regions import IgnoredArea

ROUNDING = 1e-12
CACHED_BYTES = 16 << 20
"""Hidden activations made at once on a CPU: what its caches hold until they are summed up."""


@dataclass(frozen=True, slots=True)
class HiddenUnits:
    """Hidden units that read the same levels. Shapes, n units: `weights[i]` (C_l, n), `bias` and `tail` (n,)."""

    levels: tuple[int, ...]
    """Which levels, by index; a unit that is blind to a level costs nothing there."""
    weights: tuple[Tensor, ...]
    """One matrix for each of those levels."""
    bias: Tensor
    tail: Tensor
    """Always float32: the last sum decides between scores that lie close together."""

    def to(self, device: torch.device, dtype: torch.dtype) -> "HiddenUnits":
        weights = tuple(weight.to(device, dtype).contiguous() for weight in self.weights)
        return HiddenUnits(self.levels, weights, self.bias.to(device, dtype), self.tail.to(device))


@dataclass(frozen=True, slots=True, eq=False)
class FoldedHead:
    """What is left of a line's head. Shapes: `offset` and `scale` float32 (h0, w0), or (1, 1)."""

    units: tuple[HiddenUnits, ...]
    offset: Tensor
    scale: Tensor
    ignored: IgnoredArea | None = None
    """What of its line's pictures is not judged."""

    @property
    def bytes(self) -> int:
        """Memory that one more resident line takes."""
        of_units = (tensor.nbytes for unit in self.units for tensor in (*unit.weights, unit.bias, unit.tail))
        return sum(of_units) + self.offset.nbytes + self.scale.nbytes

    def to(self, device: torch.device, dtype: torch.dtype) -> "FoldedHead":
        units = tuple(unit.to(device, dtype) for unit in self.units)
        return replace(self, units=units, offset=self.offset.to(device), scale=self.scale.to(device))


@torch.no_grad()
def fold(head: Head, level_channels: Sequence[int]) -> FoldedHead:
    """Fold a head in eval mode; in float64, so that folding itself costs no precision.

    Raises ValueError if the levels' channels are not those of the head.
    """
    if sum(level_channels) != head.channels:
        raise ValueError(f"levels of {sum(level_channels)} channels, but the head takes {head.channels}")
    exact = copy.deepcopy(head).cpu().double()
    # What an affine map does to the origin and to each unit vector is all there is to know of it.
    origin, directions = torch.zeros(1, head.channels), torch.eye(head.channels)
    images = exact.hidden_activations(torch.cat([origin, directions]).double())
    matrix, bias = images[1:] - images[0], images[0]
    units = _units_by_levels(torch.split(matrix, list(level_channels)), bias, exact.discriminator.tail.weight[0])
    return FoldedHead(units, exact.offset.float(), exact.scale.float())


def _units_by_levels(weights: Sequence[Tensor], bias: Tensor, tail: Tensor) -> tuple[HiddenUnits, ...]:
    # What is left of a zero after sums in another order.
    nothing = ROUNDING * max(float(weight.abs().max()) for weight in weights)
    reads = torch.stack([(weight.abs() > nothing).any(dim=0) for weight in weights])
    found = []
    for pattern in torch.unique(reads, dim=1).T:
        chosen = (reads == pattern[:, None]).all(dim=0)
        levels = tuple(index for index, read in enumerate(pattern.tolist()) if read)
        own = tuple(weights[level][:, chosen].float() for level in levels)
        found.append(HiddenUnits(levels, own, bias[chosen].float(), tail[chosen].float()))
    return tuple(found)


def patch_scores(aggregated: Sequence[Tensor], heads: Sequence[FoldedHead]) -> Tensor:
    """Score every patch: `heads[i]` judges frame i. Fastest where frames of one head are neighbours.

    Shapes: z_l (B, C_l, h_l, w_l) for each level -> float32 (B, h0, w0).
    """
    size = largest_size(aggregated)
    # Channels innermost: a view where the backbone computes that way, and what matrix products want.
    levels = [level_map.permute(0, 2, 3, 1).contiguous() for level_map in aggregated]
    runs = [
        _scores_of_one_head([level[start:stop] for level in levels], heads[start], size)
        for start, stop in _runs(heads, _frames_at_once(levels[0], size, heads[0]))
    ]
    return torch.cat(runs)


def _runs(heads: Sequence[FoldedHead], longest: int) -> list[tuple[int, int]]:
    """Stretches of frames that have one head, none longer than `longest`."""
    bounds = [0]
    for index in range(1, len(heads)):
        if heads[index] is not heads[index - 1] or index - bounds[-1] >= longest:
            bounds.append(index)
    return list(zip(bounds, [*bounds[1:], len(heads)], strict=True))


def _frames_at_once(level: Tensor, size: tuple[int, int], head: FoldedHead) -> int:
    if level.device.type != "cpu":
        return len(level)
    widest = max(len(unit.tail) for unit in head.units)
    return max(1, CACHED_BYTES // (size[0] * size[1] * widest * level.element_size()))


def _scores_of_one_head(levels: Sequence[Tensor], head: FoldedHead, size: tuple[int, int]) -> Tensor:
    """Shapes: (B, h_l, w_l, C_l) for each level -> (B, h0, w0)."""
    normality = sum(_normality(levels, unit, size) for unit in head.units)
    return (-normality - head.offset) / head.scale


def _normality(levels: Sequence[Tensor], units: HiddenUnits, size: tuple[int, int]) -> Tensor:
    """What these units add to D(q). Shapes: (B, h_l, w_l, C_l) for each level -> (B, h0, w0)."""
    hidden = _hidden([levels[level] for level in units.levels], units, (len(levels[0]), *size))
    return F.leaky_relu_(hidden, NEGATIVE_SLOPE).float() @ units.tail


def _hidden(levels: Sequence[Tensor], units: HiddenUnits, shape: tuple[int, int, int]) -> Tensor:
    """sum_l resize(z_l W_l) + bias, n units. Shapes: (B, h_l, w_l, C_l) for each level, (B, h0, w0) -> (B, h0, w0, n).

    The activations are far larger than what goes in, so passes over them are what costs: the bias is added by the last
    level's product, where there are fewest as a rule, and a level of full size is added by its own product.
    """
    if not levels:
        return units.bias.expand(*shape, -1).clone()
    *others, last = zip(levels, units.weights, strict=True)
    hidden = _resized(_mapped(*last, units.bias), shape)
    for level, weight in others:
        if level.shape[:3] == shape:
            hidden.view(-1, len(units.bias)).addmm_(level.flatten(0, 2), weight)
        else:
            hidden.add_(_resized(_mapped(level, weight), shape))
    return hidden


def _mapped(level: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    flat = level.flatten(0, 2)
    return (flat @ weight if bias is None else torch.addmm(bias, flat, weight)).view(*level.shape[:3], -1)


def _resized(cells: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """Channels innermost before and after. Shapes: (B, h, w, n) -> (B, h0, w0, n)."""
    return resize(cells.permute(0, 3, 1, 2), shape[1:]).permute(0, 2, 3, 1).contiguous()
