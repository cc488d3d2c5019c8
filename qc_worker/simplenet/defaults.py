"""What each backbone is used with unless the trainer is told otherwise; chosen by evidence.

Decided on synthetic defects (`trainer.synthetic`) and the simulation's own, beside held-out good frames of six sets:
two folds of the magnetic tiles' good frames, two lines of the simulation, textures of brick and gravel.
`efficientnet_lite0`, 256 px squashed, 400 steps, means over the sets, one seed.

| what | sets | image AUROC | pixel AUROC | AUPRO |
|---|---|---|---|---|
| one Gaussian over strides 16 and 32 together, 3 x 3 averaged | 6 | 0.801 | 0.863 | 0.610 |
| PaDiM, own code, stride 16 | 6 | 0.852 | 0.901 | 0.757 |
| PaDiM, own code, strides 16 and 32 | 6 | 0.858 | 0.887 | 0.681 |
| stride 16: distance alone, all cells alike | 6 | 0.785 | 0.888 | 0.723 |
| stride 16: distance alone | 6 | 0.854 | 0.901 | 0.746 |
| stride 16: learned alone, 512 hidden | 6 | 0.871 | 0.908 | 0.758 |
| stride 16: both | 6 | 0.872 | 0.913 | 0.767 |
| strides 8 and 16, weights 0.5 and 1: both | 6 | 0.876 | 0.920 | 0.781 |
| stride 16: both | 4 | 0.910 | 0.938 | 0.820 |
| stride 16: both, stride 32: distance | 4 | 0.909 | 0.924 | 0.773 |
| strides 16 and 32: both, each | 4 | 0.867 | 0.896 | 0.690 |

Against broad weak changes a wide map was added: stride 8, averaged over 96 px. Six sets, three seeds (PatchCore one).
Each column has the kinds above, drawn anew, and then seven broad kinds that `trainer.synthetic` does not draw: gloss,
bands, grain, stains, blotches, contrast, coarser texture, over 10 to 60 % of a frame.

| what | image AUROC | pixel AUROC | AUPRO |
|---|---|---|---|
| PatchCore, own code, strides 16 and 32 | 0.771, 0.728 | 0.872, 0.707 | 0.656, 0.350 |
| PaDiM, own code, strides 16 and 32 | 0.858, 0.791 | 0.882, 0.725 | 0.677, 0.319 |
| stride 16: both | 0.872, 0.773 | 0.906, 0.709 | 0.754, 0.365 |
| stride 16: both, stride 32: distance | 0.872, 0.783 | 0.903, 0.731 | 0.728, 0.345 |
| the same and the wide map's distance, all weights 1 | 0.878, 0.828 | 0.912, 0.779 | 0.734, 0.387 |
| **weights 1, 0.5, 1** | 0.882, 0.839 | 0.917, 0.786 | 0.749, 0.405 |
| weights 1, 0, 1 | 0.882, 0.845 | 0.921, 0.792 | 0.759, 0.425 |

One choice has another ground: synthetic defects see no use in stride 32, labelled tiles do (image AUROC 0.74 without,
see docs/model.md), so it is in, in the form that costs least here. For `wide_resnet50_2` nothing was measured: its
strides are the paper's, the rest is taken over.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from qc_worker.simplenet.timm_levels import is_timm, timm_strides


@dataclass(frozen=True, slots=True)
class BackboneDefaults:
    """Settings that suit one backbone."""

    levels: tuple[int, ...] = (16, 32)
    """Strides of the feature maps."""
    wide_stride: int = 8
    """Stride of one more map, averaged over windows three coarsest cells wide, the last level; 0: none."""
    level_weights: tuple[float, ...] = (1.0, 0.5, 1.0)
    """Weight of each level's score in their sum; all alike if there are none."""
    patch_size: int = 1
    """Side of the averaged neighbourhood, cells; 1: no averaging, the anomaly map is smoothed anyway."""
    input_size: int = 256
    """Side of the input square, pixels."""
    learned_levels: int = 1
    """How many levels, finest first, have a discriminator; the others have their distance alone. 0: all have one."""
    hidden: int = 512
    """Hidden units of each discriminator."""
    directions: int = 320
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
        "wide_resnet50_2": BackboneDefaults(
            levels=(8, 16), wide_stride=0, level_weights=(), patch_size=3, learned_levels=0, directions=128
        ),
    }
)


def defaults_for(backbone: str) -> BackboneDefaults:
    """Settings for any backbone; one that is not in the table gets the common ones, a ViT its only stride.

    Raises ModelError for what timm cannot build.
    """
    if backbone in BACKBONE_DEFAULTS or not is_timm(backbone):
        return BACKBONE_DEFAULTS.get(backbone, BackboneDefaults())
    return with_strides(BackboneDefaults(), timm_strides(backbone))


def with_strides(common: BackboneDefaults, strides: tuple[int, ...]) -> BackboneDefaults:
    """Fit settings to a backbone whose maps all have one stride: its patches; the side a multiple of them."""
    if len(strides) > 1:
        return common
    (patch,) = strides
    side = round(common.input_size / patch) * patch
    return replace(common, levels=strides, wide_stride=0, level_weights=(), learned_levels=0, input_size=side)
