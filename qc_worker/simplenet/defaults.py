"""What each backbone is used with unless the trainer is told otherwise; chosen by evidence.

`sigmas` are the standard deviations of the anomalous features' noise on standardised embeddings (mean 0 and standard
deviation 1 per channel over the training frames), so that it means the same on every backbone. The paper's 0.015
presumes the raw features of WideResNet-50.

Evidence: magnetic tiles, `efficientnet_lite0`, 256 px squashed, 512 hidden, 400 steps, 193 frames to train on, 99 held
out; image AUROC, mean over seeds from 0 on; everything that was tried is listed.

| strides | sigmas | discriminator_lr | patches | seeds | image AUROC | pixel AUROC | AUPRO | seconds, 1 thread |
|---|---|---|---|---|---|---|---|---|
| 8, 16 | 0.35 | 2e-4 | 4096 | 3 | 0.734 | 0.700 | 0.626 | - |
| 8, 16 | 0.25, 0.5 | 1e-3 | 1024 | 2 | 0.719 | 0.662 | 0.577 | 16 |
| 16 | 0.25, 0.5 | 1e-3 | 1024 | 2 | 0.740 | 0.772 | 0.656 | 8 |
| 8, 16, 32 | 0.25, 0.5 | 1e-3 | 1024 | 2 | 0.801 | 0.775 | 0.671 | 40 |
| 16, 32 | 0.25, 0.5 | 1e-3 | 1024 | 2 | 0.813 | 0.764 | 0.673 | 22 |
| 16, 32 | 0.25, 0.5 | 1e-3 | 2048 | 3 | 0.823 | 0.752 | 0.668 | - |

On raw features the paper's sigma never learns: the loss stays at 1.0.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class BackboneDefaults:
    """Settings that suit one backbone."""

    levels: tuple[int, ...] = (16,)
    """Strides of the feature maps."""
    level_weights: tuple[float, ...] = ()
    """Weight of each level's score in their sum; all alike if there are none."""
    patch_size: int = 1
    """Side of the averaged neighbourhood, cells; 1: no averaging, the anomaly map is smoothed anyway."""
    input_size: int = 256
    """Side of the input square, pixels."""
    hidden: int = 256
    """Learned hidden units for each level."""
    directions: int = 128
    """Directions of each level's whitened space whose distance is added, at most as many as it has channels."""
    sigmas: tuple[float, ...] = (1.0, 2.0)
    """Noise of the anomalous features, in standard deviations of whitened features; mixed in equal shares."""
    steps: int = 400
    """Optimiser steps for each level."""
    patches_per_step: int = 1024
    """Patches drawn for each step."""
    discriminator_lr: float = 2e-3
    """Adam's learning rate for the discriminator; the paper trains longer with 2e-4."""
    patches_per_frame: int = 256
    """Cells of each frame whose features are kept."""


BACKBONE_DEFAULTS: Mapping[str, BackboneDefaults] = MappingProxyType(
    {
        "efficientnet_lite0": BackboneDefaults(),
        "wide_resnet50_2": BackboneDefaults(levels=(8, 16)),
    }
)


def defaults_for(backbone: str) -> BackboneDefaults:
    """Settings for any backbone; one that is not in the table gets the common ones."""
    return BACKBONE_DEFAULTS.get(backbone, BackboneDefaults())
