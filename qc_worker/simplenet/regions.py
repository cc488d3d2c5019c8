"""Applies a line's ignored area, the part of its pictures that is not judged.

Its pixels are grey before the backbone sees them, in training as in scoring, so nothing in it has any influence on a
score. Cells that lie wholly in it take no part in the anomaly map, and its pixels are minus infinity there: never over
a threshold, whoever reads the map.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from qc_worker.imaging.aspect import InputSize
from qc_worker.imaging.preprocessing import Box
from qc_worker.simplenet.anomaly_map import anomaly_maps
from qc_worker.simplenet.spec import EmbeddingSpec
from qc_worker.simplenet.transfer import to_device

Ignored = npt.NDArray[np.bool_]
"""True where nothing is judged; (H, W), the model's input size."""
NOT_JUDGED = -math.inf
"""Score of an ignored pixel."""
GREY = 128


@dataclass(frozen=True, slots=True, eq=False)
class IgnoredArea:
    """An ignored area as it is applied to a batch, on the device that computes."""

    pixels: Tensor
    """bool (H, W), or (B, H, W) of a batch whose areas were joined."""
    cells: Tensor
    """Cells without any pixel that is judged, bool (h0, w0)."""
    gain: Tensor
    """Factor that turns an average over all cells into one over the judged cells, at each judged pixel; float32 (H,
    W)."""


def ignored_area(ignored: Ignored, grid: tuple[int, int], device: torch.device) -> IgnoredArea:
    """Prepare an ignored area for cells in `grid`, (h0, w0)."""
    pixels, judged = torch.from_numpy(ignored.copy()), judged_cells(ignored, grid).view(grid)
    weight = anomaly_maps(judged.float()[None], (ignored.shape[0], ignored.shape[1]))[0]
    gain = torch.where(pixels, 1.0, 1 / weight)
    return IgnoredArea(pixels.to(device), ~judged.to(device), gain.to(device))


def joined_area(areas: Sequence[IgnoredArea | None]) -> IgnoredArea | None:
    """Join the areas of a batch, which are then applied at once and not line after line; None if no frame has any."""
    some = next((area for area in areas if area is not None), None)
    if some is None:
        return None
    nothing = IgnoredArea(torch.zeros_like(some.pixels), torch.zeros_like(some.cells), torch.ones_like(some.gain))
    each = [nothing if area is None else area for area in areas]
    return IgnoredArea(
        torch.stack([area.pixels for area in each]),
        torch.stack([area.cells for area in each]),
        torch.stack([area.gain for area in each]),
    )


def judged_cells(ignored: Ignored, grid: tuple[int, int]) -> Tensor:
    """Find the cells with at least one pixel that is judged: bool (h0 w0,), row by row."""
    judged = torch.from_numpy(~ignored).float()[None]
    return F.adaptive_max_pool2d(judged, grid).flatten() > 0


def greyed(pixels: Tensor, areas: Sequence[IgnoredArea | None]) -> Tensor:
    """Paint over the ignored area of each frame; without any, return the same tensor. Shape: uint8 (B, 3, H, W)."""
    if all(area is None for area in areas):
        return pixels
    painted = pixels.clone()  # people are shown the original pixels
    for frames, area in _runs(areas):
        painted[frames].masked_fill_(area.pixels.unsqueeze(-3), GREY)
    return painted


def judged_maps(patch_scores: Tensor, input_size: InputSize, areas: Sequence[IgnoredArea | None]) -> Tensor:
    """Compute anomaly maps over what is judged, NOT_JUDGED elsewhere; changes `patch_scores`.

    Shapes: (B, h0, w0) -> (B, H, W).
    """
    for frames, area in _runs(areas):
        patch_scores[frames].masked_fill_(area.cells, 0.0)
    maps = anomaly_maps(patch_scores, input_size)
    for frames, area in _runs(areas):
        maps[frames].mul_(area.gain).masked_fill_(area.pixels, NOT_JUDGED)
    return maps


def judged_parts(
    spec: EmbeddingSpec, areas: Sequence[IgnoredArea | None], boxes: Sequence[Box] | None
) -> Tensor | None:
    """Mark the cells that count for each frame: in its picture, not in its padding, not ignored; None: all cells.

    A cell counts if its centre lies in the picture's box. Shape: bool (B, h0, w0).
    """
    padded = [box for box in boxes or () if (box.height, box.width) != spec.input_size]
    if not padded and all(area is None for area in areas):
        return None
    device = next((area.cells.device for area in areas if area is not None), torch.device("cpu"))
    judged = torch.ones((len(areas), *spec.grid), dtype=torch.bool, device=device)
    if padded:
        judged &= to_device(torch.stack([_cells_of(box, spec) for box in boxes or ()]), device)
    for frames, area in _runs(areas):
        judged[frames] &= ~area.cells
    return judged


def _cells_of(box: Box, spec: EmbeddingSpec) -> Tensor:
    """Mark the cells whose centre lies in the box, at least one. Shape: bool (h0, w0)."""
    rows = _between(spec.grid[0], box.top, box.height, spec.input_size[0])
    columns = _between(spec.grid[1], box.left, box.width, spec.input_size[1])
    return rows[:, None] & columns[None]


def _between(cells: int, start: int, length: int, side: int) -> Tensor:
    centres = (torch.arange(cells) + 0.5) * side / cells
    within = (centres >= start) & (centres < start + length)
    if not bool(within.any()):
        within[int((centres - start - length / 2).abs().argmin())] = True
    return within


def _runs(areas: Sequence[IgnoredArea | None]) -> Iterator[tuple[slice, IgnoredArea]]:
    """Find neighbours that share an ignored area, as frames of one line do, and all frames of a joined one.

    Frames without one are left out.
    """
    start = 0
    for area, frames in groupby(areas):
        end = start + len(list(frames))
        if area is not None:
            yield slice(start, end), area
        start = end
