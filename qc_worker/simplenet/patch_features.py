"""Computes locally aware patch features (paper, equations 1-3)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from qc_worker.simplenet.backbones.backbone import Backbone
from qc_worker.simplenet.spec import BackbonePass
from qc_worker.simplenet.stitching import stitched_maps


class AggregatedLevels(nn.Module):
    """Backbone and neighbourhood aggregation: everything that lines share.

    Levels finer than the grid are averaged to its cells; coarser ones stay as they are, which costs less. Maps of mask
    levels follow unchanged. With a tiling the backbone sees tiles; maps are averaged after they are stitched.
    Shapes: uint8 (B, 3, H, W) -> for each level z_l (B, C_l, h_l, w_l), in the backbone's number format.
    """

    def __init__(self, backbone: Backbone, backbone_pass: BackbonePass) -> None:
        super().__init__()
        self.backbone = backbone
        self.patch_size = backbone_pass.patch_size
        self.grid = backbone_pass.grid
        self.tiling = backbone_pass.tiling
        strides = backbone_pass.backbone_levels
        self._levels = [strides.index(stride) for stride in backbone_pass.levels]
        self._mask_levels = [strides.index(stride) for stride in backbone_pass.mask_levels]

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels of each aggregated level."""
        return tuple(self.backbone.channels[index] for index in self._levels)

    @property
    def mask_channels(self) -> tuple[int, ...]:
        """Channels of each mask level."""
        return tuple(self.backbone.channels[index] for index in self._mask_levels)

    def forward(self, pixels: Tensor) -> list[Tensor]:
        if self.tiling is not None:
            return self.aggregated(stitched_maps(pixels, self.tiling, self.backbone))
        return self.aggregated(self.backbone(pixels))

    def aggregated(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Aggregate the backbone's maps. Shapes: its maps of the whole input -> those of `forward`."""
        levels = [coarsened(aggregate(maps[index], self.patch_size), self.grid) for index in self._levels]
        return levels + [maps[index] for index in self._mask_levels]


def embed(level_maps: Sequence[Tensor], patch_size: int, grid: tuple[int, int]) -> Tensor:
    """Aggregate each level, bring all to the grid, concatenate. (B, C_l, h_l, w_l) each -> (B, sum C_l, h0, w0)."""
    return concatenate([aggregate(level_map, patch_size) for level_map in level_maps], grid)


def concatenate(aggregated: Sequence[Tensor], grid: tuple[int, int]) -> Tensor:
    """Concatenate aggregated levels to the embedding, o = concat_l(resize(z_l -> h0 x w0)).

    Shapes: (B, C_l, h_l, w_l) for each level -> (B, sum C_l, h0, w0).
    """
    return torch.cat([resize(coarsened(level_map, grid), grid) for level_map in aggregated], dim=1)


def aggregate(level_map: Tensor, patch_size: int) -> Tensor:
    """Average over the p x p neighbourhood of every cell; at the edges over the cells that are there.

    z_l(h, w) = mean of phi_l over N_p(h, w), stride 1, p odd. Shapes: (B, C, h, w) -> (B, C, h, w).
    """
    return F.avg_pool2d(level_map, patch_size, stride=1, padding=patch_size // 2, count_include_pad=False)


def coarsened(level_map: Tensor, grid: tuple[int, int]) -> Tensor:
    """Average a map that is finer than the grid to its cells. Shapes: (B, C, h, w) -> (B, C, *grid), or unchanged."""
    height, width = level_map.shape[-2:]
    if height <= grid[0] and width <= grid[1]:
        return level_map
    return F.adaptive_avg_pool2d(level_map, grid)


def resize(level_map: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize bilinearly, align_corners=False. Shapes: (B, C, h, w) -> (B, C, *size)."""
    if level_map.shape[-2:] == size:
        return level_map
    return F.interpolate(level_map, size=size, mode="bilinear", align_corners=False)
