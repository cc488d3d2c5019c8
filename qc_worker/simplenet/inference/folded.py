"""Folds a head into the worker's form: one matrix for each level and discriminator, at the level's own resolution.

Neighbourhood average, bilinear resize and 1x1 linear maps commute, because both averages give every channel the same
weights and these sum to one. So standardiser, adaptors, a discriminator's first layer and its BatchNorm fold into one
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
from qc_worker.simplenet.local_whitening import local_distances
from qc_worker.simplenet.patch_features import resize
from qc_worker.simplenet.regions import IgnoredArea

CACHED_BYTES = 16 << 20
"""Most bytes of hidden activations at once on a CPU, so that they stay in its caches until they are summed up."""


@dataclass(frozen=True, slots=True)
class FoldedDistance:
    """One level's adaptor and local whitening. Shapes: `weight` (C_l, d), `bias` (d,), `centres` (K, d).

    Adapted features are always float32, because the differences of close numbers matter.
    """

    level: int
    weight: Tensor
    bias: Tensor
    centres: Tensor
    whiteners: Tensor
    """(K, d, d)."""
    nearest: int
    """Number of nearest components to which the distance is measured."""

    def to(self, device: torch.device, dtype: torch.dtype) -> "FoldedDistance":
        weight, bias, centres = (tensor.to(device) for tensor in (self.weight, self.bias, self.centres))
        return FoldedDistance(self.level, weight, bias, centres, self.whiteners.to(device, dtype), self.nearest)


@dataclass(frozen=True, slots=True)
class FoldedDiscriminator:
    """One discriminator of n hidden units. Shapes: `weights[i]` (C_l, n), `bias` and `tail` (n,)."""

    levels: tuple[int, ...]
    """Levels that it reads, by index."""
    weights: tuple[Tensor, ...]
    """One matrix for each of those levels."""
    bias: Tensor
    tail: Tensor
    """Always float32: the last sum decides between scores that are close together."""

    def to(self, device: torch.device, dtype: torch.dtype) -> "FoldedDiscriminator":
        weights = tuple(weight.to(device, dtype).contiguous() for weight in self.weights)
        return FoldedDiscriminator(self.levels, weights, self.bias.to(device, dtype), self.tail.to(device))


@dataclass(frozen=True, slots=True, eq=False)
class FoldedHead:
    """A line's folded head. Shapes: `gain` float32 (parts, h0, w0), `offset` (h0, w0); or 1 for both sides."""

    distances: tuple[FoldedDistance, ...]
    discriminators: tuple[FoldedDiscriminator, ...]
    gain: Tensor
    """1 / scale of each part."""
    offset: Tensor
    """sum_p offset_p / scale_p."""
    ignored: IgnoredArea | None = None
    """Area of its line's pictures that is not judged; None: all is judged."""
    mask_head: "FoldedHead | None" = None
    """Locates defects; None: this head does that too."""

    @property
    def bytes(self) -> int:
        """Bytes of memory that one more resident line takes."""
        distances = [
            tensor for each in self.distances for tensor in (each.weight, each.bias, each.centres, each.whiteners)
        ]
        learned = [tensor for each in self.discriminators for tensor in (*each.weights, each.bias, each.tail)]
        own = sum(tensor.nbytes for tensor in (*distances, *learned, self.gain, self.offset))
        return own + (self.mask_head.bytes if self.mask_head else 0)

    def to(self, device: torch.device, dtype: torch.dtype) -> "FoldedHead":
        return replace(
            self,
            distances=tuple(each.to(device, dtype) for each in self.distances),
            discriminators=tuple(each.to(device, dtype) for each in self.discriminators),
            gain=self.gain.to(device),
            offset=self.offset.to(device),
            mask_head=self.mask_head and self.mask_head.to(device, dtype),
        )


@torch.no_grad()
def fold(head: Head) -> FoldedHead:
    """Fold a head in eval mode; computed in float64, so that folding itself costs no precision."""
    exact = copy.deepcopy(head).cpu().double()
    return FoldedHead(
        tuple(_distance(exact, index) for index in range(len(exact.shape.distances))),
        tuple(_discriminator(exact, index) for index in range(len(exact.shape.discriminators))),
        gain=(1 / exact.scale).float(),
        offset=(exact.offset / exact.scale).sum(dim=0).float(),
        mask_head=None if head.mask_head is None else fold(head.mask_head),
    )


def _distance(head: Head, index: int) -> FoldedDistance:
    level, whitening = head.shape.distances[index], head.whitenings[index]
    weight, bias = _adapting(head, level)
    centres, whiteners = whitening.centres, whitening.whiteners
    return FoldedDistance(level, weight.float(), bias.float(), centres.float(), whiteners.float(), whitening.nearest)


def _discriminator(head: Head, index: int) -> FoldedDiscriminator:
    levels, discriminator = head.shape.discriminators[index], head.discriminators[index]
    # An affine map is fully described by its values at the origin and at each unit vector.
    size = sum(head.shape.adapted[level] for level in levels)
    images = discriminator.before_activation(torch.cat([torch.zeros(1, size), torch.eye(size)]).double())
    rows = torch.split(images[1:] - images[0], [head.shape.adapted[level] for level in levels])
    adapting = [_adapting(head, level) for level in levels]
    bias = images[0] + sum(own @ to_hidden for (_, own), to_hidden in zip(adapting, rows, strict=True))
    weights = tuple((weight @ to_hidden).float() for (weight, _), to_hidden in zip(adapting, rows, strict=True))
    return FoldedDiscriminator(levels, weights, bias.float(), discriminator.tail.weight[0].float())


def _adapting(head: Head, level: int) -> tuple[Tensor, Tensor]:
    """Combine standardiser and adaptor of one level to q = z W + b. Shapes: (C_l, d_l) and (d_l,)."""
    channels = list(head.shape.level_channels)
    mean, std = (torch.split(tensor, channels)[level] for tensor in (head.standardiser.mean, head.standardiser.std))
    projection = head.adaptors[level].projection
    weight = projection.weight.T / std[:, None]
    return weight, projection.bias - mean @ weight


def patch_scores(aggregated: Sequence[Tensor], heads: Sequence[FoldedHead], grid: tuple[int, int]) -> Tensor:
    """Score every patch: `heads[i]` judges frame i. Fastest where frames of one head are neighbours.

    Shapes: z_l (B, C_l, h_l, w_l) for each level, none finer than the grid -> float32 (B, h0, w0).
    """
    # Channels innermost, as matrix products need them; without a copy where the backbone computes that way.
    levels = [level_map.permute(0, 2, 3, 1).contiguous() for level_map in aggregated]
    runs = [
        _scores_of_one_head([level[start:stop] for level in levels], heads[start], grid) for start, stop in _runs(heads)
    ]
    return torch.cat(runs)


def _runs(heads: Sequence[FoldedHead]) -> list[tuple[int, int]]:
    """Find stretches of neighbouring frames that have one head, as (start, stop)."""
    bounds = [index for index in range(1, len(heads)) if heads[index] is not heads[index - 1]]
    return list(zip([0, *bounds], [*bounds, len(heads)], strict=True))


def _scores_of_one_head(levels: Sequence[Tensor], head: FoldedHead, grid: tuple[int, int]) -> Tensor:
    """Score frames that have one head. Shapes: (B, h_l, w_l, C_l) for each level -> (B, h0, w0)."""
    parts = [_distances(levels[each.level], each, grid) for each in head.distances]
    parts += [-_normality(levels, each, grid) for each in head.discriminators]
    return torch.stack(parts).mul_(head.gain[:, None]).sum(dim=0) - head.offset


def _distances(level: Tensor, distance: FoldedDistance, grid: tuple[int, int]) -> Tensor:
    """Compute the distances at one level. Shapes: (B, h_l, w_l, C_l) -> (B, h0, w0)."""
    adapted = resized(_mapped(level.float(), distance.weight, distance.bias), grid)
    found = local_distances(adapted.flatten(0, 2), distance.centres, distance.whiteners, distance.nearest)
    return found.view(adapted.shape[:3])


def _normality(levels: Sequence[Tensor], discriminator: FoldedDiscriminator, grid: tuple[int, int]) -> Tensor:
    """Compute D(q), for as many frames at once as the caches hold.

    Shapes: (B, h_l, w_l, C_l) for each level -> (B, h0, w0).
    """
    read = [levels[level] for level in discriminator.levels]
    at_once = _frames_at_once(read[0], grid, len(discriminator.tail))
    found = [
        F.leaky_relu_(_hidden(part, discriminator, grid), NEGATIVE_SLOPE).float() @ discriminator.tail
        for part in zip(*(torch.split(level, at_once) for level in read), strict=True)
    ]
    return torch.cat(found)


def _frames_at_once(level: Tensor, grid: tuple[int, int], hidden: int) -> int:
    if level.device.type != "cpu":
        return len(level)
    return max(1, CACHED_BYTES // (grid[0] * grid[1] * hidden * level.element_size()))


def _hidden(levels: Sequence[Tensor], discriminator: FoldedDiscriminator, grid: tuple[int, int]) -> Tensor:
    """Compute sum_l resize(z_l W_l) + bias, n units. Shapes: (B, h_l, w_l, C_l) for each level -> (B, h0, w0, n).

    The activations are far larger than the input, so passes over them cost most: the bias is added by the last level's
    product, which as a rule has the fewest cells, and a level of full size is added by its own product.
    """
    *others, last = zip(levels, discriminator.weights, strict=True)
    hidden = resized(_mapped(*last, discriminator.bias), grid)
    for level, weight in others:
        if level.shape[1:3] == grid:
            hidden.view(-1, len(discriminator.bias)).addmm_(level.flatten(0, 2), weight)
        else:
            hidden.add_(resized(_mapped(level, weight), grid))
    return hidden


def _mapped(level: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    flat = level.flatten(0, 2)
    return (flat @ weight if bias is None else torch.addmm(bias, flat, weight)).view(*level.shape[:3], -1)


def resized(cells: Tensor, grid: tuple[int, int]) -> Tensor:
    """Resize cells, channels innermost before and after. Shapes: (B, h, w, n) -> (B, h0, w0, n)."""
    return resize(cells.permute(0, 3, 1, 2), grid).permute(0, 2, 3, 1).contiguous()
