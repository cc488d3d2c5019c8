"""Run SimpleNet's inference as its authors published it, in plain PyTorch, for comparison with the worker.

float32, channels first, nothing compiled, nothing folded: neighbourhoods are unfolded, patches of coarser levels are
resized element by element, the head gets all patches of the batch at once, and scipy filters each map on the CPU. The
code is our own. Three details follow our model, so that scores can be compared: the neighbourhood of an edge cell
counts existing cells only, each level has its own adaptor, and the image score is the mean of the highest cells.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from scipy.ndimage import gaussian_filter
from torch import Tensor

from qc_worker.simplenet.head import Head

SIGMA_PX = 4.0
TOP_SHARE = 0.03
"""Share of a frame's cells whose mean is the image score."""

Network = Callable[[Tensor], Sequence[Tensor]]
"""Normalised (B, 3, S, S) -> feature maps, finest first."""


class Normalisation(NamedTuple):
    """Mean and standard deviation of pixels in 0..255; (1, 3, 1, 1) each."""

    mean: Tensor
    std: Tensor


class PlainSimpleNet:
    """One line's model, end to end, on the device of `network` and `head`."""

    def __init__(self, network: Network, head: Head, normalisation: Normalisation, patch_size: int) -> None:
        self._network = network
        self._head = head.eval()
        self._normalisation = normalisation
        self._patch_size = patch_size

    @torch.no_grad()
    def score(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Compute image scores and anomaly maps. Shapes: uint8 (B, 3, S, S) -> (B,), (B, S, S), on the CPU."""
        mean, std = self._normalisation
        level_maps = self._network((pixels.to(mean.device).float() - mean) / std)
        size = level_maps[0].shape[-2:]
        levels = [_averages(_resize(_patches(one, self._patch_size), one, size)) for one in level_maps]
        embedding = torch.cat(levels, dim=1).reshape(len(pixels), *size, -1).permute(0, 3, 1, 2)
        cells = self._head.patch_scores(embedding)
        resized = F.interpolate(cells[:, None], size=pixels.shape[-2:], mode="bilinear")
        maps = [gaussian_filter(one, sigma=SIGMA_PX) for one in resized[:, 0].cpu().numpy()]
        filtered = torch.stack([torch.from_numpy(one) for one in maps])
        highest = torch.topk(cells.flatten(1), max(1, round(TOP_SHARE * cells[0].numel())), dim=1)
        return highest.values.mean(dim=1).cpu(), filtered


def _patches(level_map: Tensor, patch_size: int) -> Tensor:
    """Collect the neighbourhood of every cell. Shapes: (B, C, h, w) -> (B, h, w, C, p, p)."""
    batch, channels, height, width = level_map.shape
    unfolded = _unfold(level_map, patch_size) * (patch_size**2 / _cells_there(level_map, patch_size))
    return unfolded.reshape(batch, channels, patch_size, patch_size, height, width).permute(0, 4, 5, 1, 2, 3)


def _cells_there(level_map: Tensor, patch_size: int) -> Tensor:
    """Count the cells of each neighbourhood; edges have fewer. Shapes: (B, C, h, w) -> (1, 1, h * w)."""
    return _unfold(torch.ones_like(level_map[:1, :1]), patch_size).sum(dim=1, keepdim=True)


def _unfold(level_map: Tensor, patch_size: int) -> Tensor:
    return F.unfold(level_map, patch_size, padding=patch_size // 2)


def _resize(patches: Tensor, level_map: Tensor, size: torch.Size) -> Tensor:
    """Resize every element of the patches to the finest level's size.

    Shapes: (B, h, w, C, p, p) -> (B, H, W, C, p, p).
    """
    if level_map.shape[-2:] == size:
        return patches
    batch, height, width, *element = patches.shape
    images = patches.permute(0, 3, 4, 5, 1, 2).reshape(-1, 1, height, width)
    resized = F.interpolate(images, size=tuple(size), mode="bilinear", align_corners=False)
    return resized.reshape(batch, *element, *size).permute(0, 4, 5, 1, 2, 3)


def _averages(patches: Tensor) -> Tensor:
    """Average each patch by channel. Shapes: (B, H, W, C, p, p) -> (B * H * W, C)."""
    channels = patches.shape[3]
    flat = patches.reshape(-1, 1, channels * patches.shape[4] * patches.shape[5])
    return F.adaptive_avg_pool1d(flat, channels).squeeze(1)
