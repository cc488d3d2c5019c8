"""Rows that the mask head is fitted to: features of fine cells in, around and far from synthetic defects."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from trainer.features.extract import BYTES_PER_NUMBER
from trainer.features.file import HEADER_BYTES

COVERED_SHARE = 0.3
"""A cell belongs to the defect if at least this share of it is covered."""
CLEAR_SHARE = 0.05
"""A cell next to a defect is good if at most this share of it is covered."""
NEAR_CELLS = 4
"""Reach of a defect's surroundings, cells; beyond it features show nothing of the defect."""
EACH = 64
"""Largest number of cells of each kind per frame, so that large defects count hardly more than small ones."""
FAR, NEAR, DEFECTIVE = range(3)
PLACE_CHANNELS = 5
"""Numbers at the end of each row: kind of cell, then row and column in two digits each, exact in sixteen bits."""
DIGIT = 128


@dataclass(frozen=True, slots=True)
class MaskRows:
    """Features of fine cells of many frames. Shapes: (N, C), int64 (N,) each."""

    features: Tensor
    kinds: Tensor
    cells: Tensor
    """Index of each cell, counted row by row."""


def drawn_rows(embedding: Tensor, mask: Tensor, grid: tuple[int, int], judged: Tensor | None, seed: int) -> Tensor:
    """Draw cells of each kind from one frame, with their places.

    Shapes: (h w, C), bool (H, W), `judged` bool (h w,), None: all -> (n, C + PLACE_CHANNELS).
    """
    random = torch.Generator().manual_seed(seed)
    kinds = _kinds(mask, grid)
    if judged is not None:
        kinds[~judged] = -1
    chosen = torch.cat([_drawn(kinds == kind, random) for kind in (FAR, NEAR, DEFECTIVE)])
    places = [kinds[chosen], *_digits(chosen // grid[1]), *_digits(chosen % grid[1])]
    return torch.cat([embedding[chosen], torch.stack(places, dim=1).to(embedding.dtype)], dim=1)


def joined_rows(blocks: Sequence[Tensor], grid: tuple[int, int]) -> MaskRows:
    """Join the rows of many frames, and split features from places. Shapes: (n, C + PLACE_CHANNELS) each."""
    rows = torch.cat(list(blocks))
    features, places = rows[:, :-PLACE_CHANNELS], rows[:, -PLACE_CHANNELS:].long()
    kind, row_high, row_low, column_high, column_low = places.T
    cells = (row_high * DIGIT + row_low) * grid[1] + column_high * DIGIT + column_low
    return MaskRows(features, kind, cells)


def mask_rows_bytes(channels: Sequence[int]) -> int:
    """Return the largest number of bytes of one frame's rows on disk; 0 without mask levels."""
    return HEADER_BYTES + 3 * EACH * (sum(channels) + PLACE_CHANNELS) * BYTES_PER_NUMBER if channels else 0


def _kinds(mask: Tensor, grid: tuple[int, int]) -> Tensor:
    """Classify cells as FAR, NEAR or DEFECTIVE, -1 if neither covered nor clear. Shapes: bool (H, W) -> (h w,)."""
    share = F.adaptive_avg_pool2d(mask.float()[None], grid)
    size = 2 * NEAR_CELLS + 1
    near = F.max_pool2d((share > 0).float(), size, stride=1, padding=NEAR_CELLS) > 0
    kinds = torch.where(near, torch.where(share <= CLEAR_SHARE, NEAR, -1), FAR)
    covered = share >= min(COVERED_SHARE, max(float(share.max()), math.ulp(0.0)))
    return torch.where(covered, DEFECTIVE, kinds).flatten()


def _drawn(belongs: Tensor, random: torch.Generator) -> Tensor:
    cells = belongs.nonzero()[:, 0]
    return cells[torch.randperm(len(cells), generator=random)[:EACH]]


def _digits(numbers: Tensor) -> tuple[Tensor, Tensor]:
    return numbers // DIGIT, numbers % DIGIT
