"""Locally aware patch features (paper, equations 1-3)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from qc_worker.simplenet.backbone import Backbone
from qc_worker.simplenet.stitching import stitched_maps
from qc_worker.simplenet.tiles import Tiling

WIDE_PATCH_SIZE = 3
"""Side of a wide window, in cells of the coarsest level: 96 px at stride 32."""


class AggregatedLevels(nn.Module):
    """Backbone and neighbourhood aggregation: everything that lines share.

    If `is_widened`, the backbone's finest map is averaged over wide windows and comes last; else all are levels alike.
    With a `tiling` the backbone sees tiles; maps are averaged once they are stitched.
    Shapes: uint8 (B, 3, H, W) -> for each level z_l (B, C_l, h_l, w_l), in the backbone's number format.
    """

    def __init__(
        self, backbone: Backbone, patch_size: int, *, is_widened: bool = False, tiling: Tiling | None = None
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.patch_size = patch_size
        self.is_widened = is_widened
        self.tiling = tiling

    @property
    def channels(self) -> tuple[int, ...]:
        """Of each map given."""
        first, *others = self.backbone.channels
        return (*others, first) if self.is_widened else self.backbone.channels

    def forward(self, pixels: Tensor) -> list[Tensor]:
        if self.tiling is not None:
            return self.aggregated(stitched_maps(pixels, self.tiling, self.backbone))
        return self.aggregated(self.backbone(pixels))

    def aggregated(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """What follows the backbone. Shapes: its maps of the whole input -> those of `forward`."""
        if not self.is_widened:
            return [aggregate(level_map, self.patch_size) for level_map in maps]
        finest, *others = maps
        return [*(aggregate(level_map, self.patch_size) for level_map in others), widen(finest, others[-1])]


def embed(level_maps: Sequence[Tensor], patch_size: int) -> Tensor:
    """Aggregate each level, bring all to the largest level's size, concatenate.

    o = concat_l(resize(z_l -> h0 x w0)), bilinear. Shapes: (B, C_l, h_l, w_l) for each level -> (B, sum C_l, h0, w0).
    """
    return concatenate([aggregate(level_map, patch_size) for level_map in level_maps])


def concatenate(aggregated: Sequence[Tensor]) -> Tensor:
    """The embedding of aggregated levels. Shapes: (B, C_l, h_l, w_l) for each level -> (B, sum C_l, h0, w0)."""
    size = largest_size(aggregated)
    return torch.cat([resize(level_map, size) for level_map in aggregated], dim=1)


def aggregate(level_map: Tensor, patch_size: int) -> Tensor:
    """Average over the p x p neighbourhood of every cell; at the edges over the cells that are there.

    z_l(h, w) = mean of phi_l over N_p(h, w), stride 1, p odd. Shapes: (B, C, h, w) -> (B, C, h, w).
    """
    return F.avg_pool2d(level_map, patch_size, stride=1, padding=patch_size // 2, count_include_pad=False)


def widen(level_map: Tensor, coarsest: Tensor) -> Tensor:
    """Average over windows of 3 x 3 of the coarsest level's cells: a broad weak change stands out from the texture.

    Shapes: (B, C, h, w), (B, any, h', w') -> (B, C, h', w').
    """
    height, width = coarsest.shape[-2:]
    return aggregate(F.adaptive_avg_pool2d(level_map, (height, width)), WIDE_PATCH_SIZE)


def largest_size(level_maps: Sequence[Tensor]) -> tuple[int, int]:
    """h0 and w0: height and width of the level that has the most cells."""
    height, width = max((level_map.shape[-2:] for level_map in level_maps), key=lambda shape: shape[0] * shape[1])
    return height, width


def resize(level_map: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear, align_corners=False. Shapes: (B, C, h, w) -> (B, C, *size)."""
    if level_map.shape[-2:] == size:
        return level_map
    return F.interpolate(level_map, size=size, mode="bilinear", align_corners=False)
