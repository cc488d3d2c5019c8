"""Runs a backbone on tiles and stitches its feature maps to those of the whole input."""

from collections.abc import Callable, Sequence
from itertools import product

import torch
from torch import Tensor

from qc_worker.imaging.preprocessing import stack_pixels
from qc_worker.simplenet.tiles import Span, Tiling

TILES_AT_ONCE = 8
"""Tiles in one pass, however many frames: as many as training passes frames, so that all its passes have one size."""


def stitched_maps(
    pixels: Tensor, tiling: Tiling, compute: Callable[[Tensor], Sequence[Tensor]], *, at_once: int = TILES_AT_ONCE
) -> list[Tensor]:
    """Pass the tiles of all frames through `compute`, `at_once` at a time, and stitch the maps.

    Shapes: uint8 (B, 3, H, W) -> for each level (B, C_l, H / stride, W / stride), channels innermost in memory.
    """
    places = list(product(range(len(pixels)), tiling.rows, tiling.columns))
    wholes: list[Tensor] = []
    for start in range(0, len(places), at_once):
        chunk = places[start : start + at_once]
        maps = compute(stack_pixels([_tile(pixels[frame], row, column) for frame, row, column in chunk]))
        wholes = wholes or [_whole(level_map, pixels, tiling) for level_map in maps]
        for whole, level_map in zip(wholes, maps, strict=True):
            stride = tiling.tile_size[0] // level_map.shape[-2]
            for (frame, row, column), tile_map in zip(chunk, level_map, strict=True):
                _paste(whole[frame], tile_map, row, column, stride)
    return wholes


def _tile(pixels: Tensor, row: Span, column: Span) -> Tensor:
    return pixels[:, row.start : row.stop, column.start : column.stop]


def _whole(level_map: Tensor, pixels: Tensor, tiling: Tiling) -> Tensor:
    stride = tiling.tile_size[0] // level_map.shape[-2]
    shape = (len(pixels), level_map.shape[1], pixels.shape[2] // stride, pixels.shape[3] // stride)
    return torch.empty(shape, dtype=level_map.dtype, device=level_map.device, memory_format=torch.channels_last)


def _paste(whole: Tensor, tile_map: Tensor, row: Span, column: Span, stride: int) -> None:
    """Copy the cells of a tile that count to their place in the frame."""
    top, bottom, left, right = (
        side // stride for side in (row.kept_from, row.kept_to, column.kept_from, column.kept_to)
    )
    first_row, first_column = row.start // stride, column.start // stride
    whole[:, top:bottom, left:right] = tile_map[
        :, top - first_row : bottom - first_row, left - first_column : right - first_column
    ]
