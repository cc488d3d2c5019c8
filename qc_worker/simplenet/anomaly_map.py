"""From patch scores to the anomaly map and the image's score (paper, section 3.6).

Bilinear resize and Gaussian filter are linear and separable, so both fold into one matrix for each side:
map = M_h p M_w^T with M = G U, for each side: U (S x n) resizes n cells to S pixels and G (S x S) filters.
"""

from collections.abc import Sequence
from functools import lru_cache
from itertools import groupby

import torch
import torch.nn.functional as F
from scipy.ndimage import gaussian_filter1d
from torch import Tensor

from qc_worker.simplenet.preprocessing import Box
from qc_worker.simplenet.spec import InputSize

SMOOTHING_SIGMA_PX = 4.0


def anomaly_maps(patch_scores: Tensor, input_size: InputSize) -> Tensor:
    """Bring patch scores to the input size (bilinear, align_corners=False) and smooth them (Gaussian, sigma = 4).

    At the borders the filter sees the map mirrored (scipy's `reflect`). Shapes: (B, h, w) -> (B, H, W).
    """
    _, height, width = patch_scores.shape
    rows = _resize_and_smooth(height, input_size[0], patch_scores.device)
    columns = _resize_and_smooth(width, input_size[1], patch_scores.device)
    return rows @ patch_scores @ columns.T


def image_scores(maps: Tensor, boxes: Sequence[Box] | None = None) -> Tensor:
    """The maximum over each map where it shows the picture, in `boxes[i]`, not its padding; None: all of it.

    Shapes: (B, H, W) -> (B,).
    """
    if boxes is None:
        return maps.amax(dim=(1, 2))
    runs = [(box, len(list(run))) for box, run in groupby(boxes)]  # frames of one line are neighbours, mostly of a size
    parts = zip(torch.split(maps, [length for _, length in runs]), runs, strict=True)
    return torch.cat([_inside(part, box).amax(dim=(1, 2)) for part, (box, _) in parts])


def _inside(maps: Tensor, box: Box) -> Tensor:
    """Shapes: (B, H, W) -> (B, h, w)."""
    return maps[:, box.top : box.top + box.height, box.left : box.left + box.width]


@lru_cache(maxsize=32)
def _resize_and_smooth(cells: int, length: int, device: torch.device) -> Tensor:
    """M = G U, (length, cells): its columns are what each cell alone would give."""
    units = torch.eye(cells, dtype=torch.float64)[None]
    resized = F.interpolate(units, size=length, mode="linear", align_corners=False)[0].T
    smoothed = gaussian_filter1d(resized.numpy(), SMOOTHING_SIGMA_PX, axis=0, mode="reflect", truncate=4.0)
    return torch.from_numpy(smoothed).to(device, torch.float32)
