"""What makes two frames share one backbone pass."""

from dataclasses import dataclass
from typing import Literal

Aspect = Literal["squash", "pad"]
"""How a picture becomes a square.

squash: both sides are scaled to the input size, whatever the aspect ratio.
pad: the longer side is scaled to the input size, and the border is repeated to fill the square.
"""


@dataclass(frozen=True, slots=True)
class BackbonePass:
    """What runs once for a batch, whatever lines its frames belong to (the batcher's key)."""

    backbone: str
    weights_sha256: str
    levels: tuple[int, ...]
    patch_size: int
    input_size: int
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
    input_size: int
    """Side of the square that enters the backbone, pixels."""
    aspect: Aspect
    """How a picture becomes that square."""
    wide_stride: int = 0
    """Stride of one more feature map, finer than `levels`, that is averaged over wide windows; 0: none."""

    @property
    def strides(self) -> tuple[int, ...]:
        """What the backbone is asked for."""
        return (self.wide_stride, *self.levels) if self.wide_stride else self.levels

    @property
    def backbone_pass(self) -> BackbonePass:
        """Without the aspect: once decoded, a square is a square."""
        return BackbonePass(
            self.backbone, self.weights_sha256, self.levels, self.patch_size, self.input_size, self.wide_stride
        )
