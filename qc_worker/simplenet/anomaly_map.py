"""Turns patch scores into the anomaly map and the image's score (paper, section 3.6).

Bilinear resize and Gaussian filter are linear and separable, so both fold into one matrix for each side:
map = M_h p M_w^T with M = G U, for each side: U (S x n) resizes n cells to S pixels and G (S x S) filters.
"""

import math
from functools import lru_cache

import torch
import torch.nn.functional as F
from scipy.ndimage import gaussian_filter1d
from torch import Tensor

from qc_worker.imaging.aspect import InputSize
from qc_worker.simplenet.transfer import to_device

SMOOTHING_SIGMA_PX = 4.0
MASK_SIGMA_PX = 1.0
"""Smaller than SMOOTHING_SIGMA_PX: masks are made from finer cells, and must stay as fine."""
TOP_SHARE = 0.03
"""Share of a frame's cells, those with the highest scores, whose mean is the frame's score."""


def anomaly_maps(patch_scores: Tensor, input_size: InputSize, sigma_px: float = SMOOTHING_SIGMA_PX) -> Tensor:
    """Bring patch scores to the input size (bilinear, align_corners=False) and smooth them (Gaussian filter).

    At the borders the filter sees the map mirrored (scipy's `reflect`). Shapes: (B, h, w) -> (B, H, W).
    """
    _, height, width = patch_scores.shape
    rows = _resize_and_smooth(height, input_size[0], sigma_px, patch_scores.device)
    columns = _resize_and_smooth(width, input_size[1], sigma_px, patch_scores.device)
    return rows @ patch_scores @ columns.T


def image_scores(patch_scores: Tensor, judged: Tensor | None = None) -> Tensor:
    """Average the highest patch scores of each frame, TOP_SHARE of the cells that are judged.

    Steadier than the paper's maximum: one unusual cell of a good frame is not yet a defect (docs/explanation/model.md
    has the figures).
    Without any judged cell a frame's score is minus infinity.
    Shapes: (B, h0, w0), `judged` bool (B, h0, w0), None: all cells -> (B,).
    """
    cells = patch_scores.flatten(1)
    if judged is None:
        return cells.topk(_top_count(cells.shape[1]), dim=1).values.mean(dim=1)
    mask = to_device(judged, cells.device).flatten(1)
    # No shape depends on the masks, so a GPU need not be asked how many cells are judged.
    top = cells.masked_fill(~mask, -math.inf).topk(_top_count(cells.shape[1]), dim=1).values
    counted = (TOP_SHARE * mask.sum(dim=1, dtype=torch.float64)).round().clamp_min(1)
    ranks = torch.arange(top.shape[1], device=top.device)
    return torch.where(ranks < counted[:, None], top, 0.0).sum(dim=1) / counted.float()


def _top_count(cells: int) -> int:
    return max(1, round(TOP_SHARE * cells))


@lru_cache(maxsize=32)
def _resize_and_smooth(cells: int, length: int, sigma_px: float, device: torch.device) -> Tensor:
    """Compute M = G U, (length, cells): its columns are the maps of single cells."""
    units = torch.eye(cells, dtype=torch.float64)[None]
    resized = F.interpolate(units, size=length, mode="linear", align_corners=False)[0].T
    smoothed = gaussian_filter1d(resized.numpy(), sigma_px, axis=0, mode="reflect", truncate=4.0)
    return torch.from_numpy(smoothed).to(device, torch.float32)
