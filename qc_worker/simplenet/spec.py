"""What makes two frames share one backbone pass."""

from dataclasses import dataclass
from typing import Literal

Aspect = Literal["squash", "pad"]
"""How a picture is brought to the input size.

squash: each side is scaled to that of the input size, whatever the picture's own ratio.
pad: the picture keeps its ratio, as large as the input size has room for, and its border is repeated to fill the rest.
"""
InputSize = tuple[int, int]
"""Height and width of what enters the backbone, pixels."""


@dataclass(frozen=True, slots=True)
class BackbonePass:
    """What runs once for a batch, whatever lines its frames belong to (the batcher's key)."""

    backbone: str
    weights_sha256: str
    levels: tuple[int, ...]
    patch_size: int
    input_size: InputSize
    wide_stride: int = 0


@dataclass(frozen=True, slots=True)
class EmbeddingSpec:
    """From decoded frame to embedding; a head fits one spec only."""

    backbone: str
    """Name, as `load_backbone` takes it."""
    weights_sha256: str
    """Of the weights file: another file gives other features, so a head would not fit."""
    levels: tuple[int, ...]
    """Strides of the feature maps, ascending, e.g. (8, 16)."""
    patch_size: int
    """Side of the neighbourhood that is averaged, in cells of the feature map."""
    input_size: InputSize
    """Height and width of the rectangle that enters the backbone, pixels."""
    aspect: Aspect
    """How a picture is brought to that size."""
    wide_stride: int = 0
    """Stride of one more feature map, finer than `levels`, that is averaged over wide windows; 0: none."""

    @property
    def strides(self) -> tuple[int, ...]:
        """What the backbone is asked for."""
        return (self.wide_stride, *self.levels) if self.wide_stride else self.levels

    @property
    def backbone_pass(self) -> BackbonePass:
        """Without the aspect: once decoded, a rectangle is a rectangle."""
        return BackbonePass(
            self.backbone, self.weights_sha256, self.levels, self.patch_size, self.input_size, self.wide_stride
        )
