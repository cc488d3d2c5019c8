"""Cuts a large input into overlapping tiles, so that a backbone runs on pieces of a size that it knows.

Tiles change only how the backbone is run: each tile's feature maps are cropped by half the overlap and stitched, so
everything after it sees one map of the whole input. For that, every tile starts at a multiple of the coarsest stride.
"""

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

MAX_TILES = 8
"""Most tiles along the long side."""
MARGIN_PX = 64
"""Least number of pixels that are cropped where two tiles meet: near its border a network sees zeros, not the frame.

Deviation of `efficientnet_lite0`'s maps of screws (640 x 640 px, 2 x 2 tiles) from those of a whole pass, in the cells
at seams, as a share of the maps' variance; circuit boards give the same within a quarter:

| margin, px | pixels passed | stride 8 | stride 16 | stride 32 |
|---|---|---|---|---|
| 32 | 1.21 | 0.000 | 0.101 | 0.657 |
| 64 | 1.44 | 0.000 | 0.010 | 0.295 |
| 96 | 1.69 | 0.000 | 0.001 | 0.109 |
"""


@dataclass(frozen=True, slots=True)
class Span:
    """A tile along one side of the input, pixels: shows `start` to `stop`, of which `kept_from` to `kept_to` count."""

    start: int
    stop: int
    kept_from: int
    kept_to: int


@dataclass(frozen=True, slots=True)
class Tiling:
    """Every row of tiles with every column; all tiles have one size."""

    rows: tuple[Span, ...]
    columns: tuple[Span, ...]

    @property
    def tile_size(self) -> tuple[int, int]:
        """Height and width of a tile, pixels."""
        return self.rows[0].stop, self.columns[0].stop

    @property
    def count(self) -> int:
        """Number of tiles of one frame."""
        return len(self.rows) * len(self.columns)


@lru_cache(maxsize=256)
def tiling_of(input_size: tuple[int, int], tiles: int, stride: int) -> Tiling:
    """Cut the long side into `tiles` tiles, and the other into as few as keep tiles no longer that way.

    `stride` is the backbone's coarsest. Raises ValueError if sides are not multiples of it, or too short.
    """
    shown = f"{input_size[0]}x{input_size[1]}"
    if any(side % stride for side in input_size):
        raise ValueError(f"input size {shown}: tiles need sides that are multiples of {stride} pixels")
    margin = -(-MARGIN_PX // stride) * stride
    long, short = max(input_size), min(input_size)
    long_tile = _tile_length(long, tiles, 2 * margin, stride)
    if long - long_tile < (tiles - 1) * stride:
        raise ValueError(f"input size {shown} is too small for {tiles} tiles")
    along = _spans(long, tiles, long_tile, stride)
    if short == long:
        return Tiling(along, along)
    count = 1 if short <= long_tile else -(-(short - 2 * margin) // (long_tile - 2 * margin))
    across = _spans(short, count, _tile_length(short, count, 2 * margin, stride), stride)
    return Tiling(along, across) if input_size[0] == long else Tiling(across, along)


def _tile_length(length: int, count: int, overlap: int, stride: int) -> int:
    """Compute the least multiple of `stride` at which `count` tiles cover `length` and overlap by `overlap`."""
    return -(-(length + (count - 1) * overlap) // (count * stride)) * stride


def _spans(length: int, count: int, tile: int, stride: int) -> tuple[Span, ...]:
    if count == 1:
        return (Span(0, length, 0, length),)
    starts = [index * (length - tile) // ((count - 1) * stride) * stride for index in range(count)]
    # Neighbours meet in the middle of what both show.
    meetings = [(start + before + tile) // (2 * stride) * stride for before, start in pairwise(starts)]
    kept = zip([0, *meetings], [*meetings, length], strict=True)
    return tuple(Span(start, start + tile, *bounds) for start, bounds in zip(starts, kept, strict=True))
