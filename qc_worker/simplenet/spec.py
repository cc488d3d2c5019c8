"""Describes the steps from frame to embedding, and the part of them that frames of a batch share."""

import math
from dataclasses import dataclass

from qc_worker.imaging.aspect import FULL_DEPTH, Aspect, BitDepth, InputSize
from qc_worker.simplenet.tiles import Tiling, tiling_of

COST_UNIT_PIXELS = 256 * 256


@dataclass(frozen=True, slots=True)
class BackbonePass:
    """Computation that runs once for a batch, whatever lines its frames belong to (the batcher's key)."""

    backbone: str
    weights_sha256: str
    levels: tuple[int, ...]
    patch_size: int
    input_size: InputSize
    grid_stride: int
    tiles: int = 1
    mask_levels: tuple[int, ...] = ()

    @property
    def backbone_levels(self) -> tuple[int, ...]:
        """Strides of all maps that the backbone gives, ascending."""
        return tuple(sorted({*self.levels, *self.mask_levels}))

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of the embedding, (h0, w0), rounded up."""
        return cells_of(self.input_size, self.grid_stride)

    @property
    def tiling(self) -> Tiling | None:
        """Tiles of the input; None: it is not cut. Raises ValueError if it cannot be cut into so many tiles."""
        return None if self.tiles == 1 else tiling_of(self.input_size, self.tiles, math.lcm(*self.backbone_levels))

    @property
    def tiles_per_frame(self) -> int:
        """Number of tiles that a frame counts as in a batch."""
        tiling = self.tiling
        return tiling.count if tiling else 1

    def frames_within(self, max_tiles: int) -> int:
        """Return the number of frames in a batch of at most `max_tiles` tiles; one at least, however many it has."""
        return max(1, max_tiles // self.tiles_per_frame)


@dataclass(frozen=True, slots=True)
class EmbeddingSpec:
    """Steps from decoded frame to embedding; a head fits one spec only."""

    backbone: str
    """Name, as `load_backbone` takes it."""
    weights_sha256: str
    """Digest of the weights file: another file gives other features, so a head would not fit."""
    levels: tuple[int, ...]
    """Strides of the feature maps, ascending, e.g. (8, 16)."""
    patch_size: int
    """Side of the neighbourhood that is averaged, in cells of the feature map."""
    input_size: InputSize
    """Height and width of the rectangle that enters the backbone, pixels."""
    aspect: Aspect
    """Method that brings a picture to that size."""
    grid_stride: int
    """Stride of the cells that are judged, one of `levels`: finer maps are averaged, coarser ones resized to them."""
    tiles: int = 1
    """Number of overlapping tiles into which the long side is cut for the backbone; 1: it sees the input whole."""
    bit_depth: BitDepth = FULL_DEPTH
    """Number of bits that hold the brightness of pictures of 16 a channel, aligned right; pictures of 8 are not
    affected."""
    mask_levels: tuple[int, ...] = ()
    """Strides of the maps that locate defects, ascending, at cells of the first; empty: the score's own cells do."""

    @property
    def backbone_levels(self) -> tuple[int, ...]:
        """Strides of all maps that the backbone gives, ascending."""
        return self.backbone_pass.backbone_levels

    @property
    def mask_grid(self) -> tuple[int, int]:
        """Rows and columns of the cells that masks are made from, rounded up; those of `grid` without mask levels."""
        return cells_of(self.input_size, min(self.mask_levels, default=self.grid_stride))

    @property
    def cost(self) -> float:
        """Pixels that the backbone sees of a frame, overlaps included, as a multiple of a 256 x 256 input."""
        tiling = self.backbone_pass.tiling
        height, width = tiling.tile_size if tiling else self.input_size
        return self.backbone_pass.tiles_per_frame * height * width / COST_UNIT_PIXELS

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of the embedding, (h0, w0), rounded up."""
        return self.backbone_pass.grid

    @property
    def backbone_pass(self) -> BackbonePass:
        """The spec's backbone pass; it leaves out the aspect, which has no influence on decoded frames."""
        return BackbonePass(
            backbone=self.backbone,
            weights_sha256=self.weights_sha256,
            levels=self.levels,
            patch_size=self.patch_size,
            input_size=self.input_size,
            grid_stride=self.grid_stride,
            tiles=self.tiles,
            mask_levels=self.mask_levels,
        )


def cells_of(input_size: InputSize, stride: int) -> tuple[int, int]:
    """Compute rows and columns of a map of that stride, rounded up."""
    height, width = input_size
    return -(-height // stride), -(-width // stride)
