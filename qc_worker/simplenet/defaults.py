"""What each backbone is used with unless the trainer is told otherwise; chosen by evidence.

Decided on synthetic defects (`trainer.synthetic`) and the simulation's own, beside held-out good frames of six sets: two
folds of the magnetic tiles' good frames, two lines of the simulation, textures of brick and gravel; never on labelled
images. `efficientnet_lite0`, 256 px squashed, 400 steps, means over the sets, one seed.

| what | image AUROC | pixel AUROC | AUPRO |
|---|---|---|---|
| one Gaussian over strides 16 and 32, 3 x 3 averaged | 0.801 | 0.863 | 0.610 |
| PaDiM, own code, stride 16 (16 and 32) | 0.852 (0.858) | 0.901 (0.887) | 0.757 (0.681) |
| stride 16: distance alone, all cells alike | 0.785 | 0.888 | 0.723 |
| stride 16: distance alone | 0.854 | 0.901 | 0.746 |
| stride 16: learned alone, 256 (512) hidden | 0.866 (0.871) | 0.905 (0.908) | 0.754 (0.758) |
| stride 16: both, 256 hidden | 0.865 | 0.912 | 0.768 |
| **stride 16: both, 512 hidden** | 0.872 | 0.913 | 0.767 |
| stride 16: both, 256 hidden, 800 steps | 0.867 | 0.913 | 0.769 |
| stride 16: both, 256 hidden, 40 frames to fit to | 0.855 | 0.910 | 0.762 |
| strides 8 and 16, weights 0.5 and 1, both, 512 hidden | 0.876 | 0.920 | 0.781 |

Stride 8 beside 16 gains mostly on gravel (on the tiles 0.881 / 0.910 / 0.790 against 0.880 / 0.906 / 0.787) and
quadruples the cells; stride 32 lost AUPRO. docs/model.md has what else was tried. For `wide_resnet50_2` nothing was
measured: its strides are the paper's, the rest is taken over.
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
    hidden: int = 512
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
