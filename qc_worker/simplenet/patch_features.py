"""Locally aware patch features (paper, equations 1-3)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from qc_worker.simplenet.backbone import Backbone


class AggregatedLevels(nn.Module):
    """Backbone and neighbourhood aggregation: everything that lines share.

    Shapes: uint8 (B, 3, S, S) -> for each level z_l (B, C_l, h_l, w_l), in the backbone's number format.
    """

    def __init__(self, backbone: Backbone, patch_size: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.patch_size = patch_size

    def forward(self, pixels: Tensor) -> list[Tensor]:
        return [aggregate(level_map, self.patch_size) for level_map in self.backbone(pixels)]


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


def largest_size(level_maps: Sequence[Tensor]) -> tuple[int, int]:
    """h0 and w0: height and width of the level that has the most cells."""
    height, width = max((level_map.shape[-2:] for level_map in level_maps), key=lambda shape: shape[0] * shape[1])
    return height, width


def resize(level_map: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear, align_corners=False. Shapes: (B, C, h, w) -> (B, C, *size)."""
    if level_map.shape[-2:] == size:
        return level_map
    return F.interpolate(level_map, size=size, mode="bilinear", align_corners=False)
