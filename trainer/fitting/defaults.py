"""What each backbone is used with unless the trainer is told otherwise; chosen by evidence.

Decided on the labelled defects of six real products, by the mean, the worst and the recall at 1 % false rejects
(docs/explanation/model.md says how, docs/explanation/variants.md lists every variant). Nothing was measured with
`wide_resnet50_2`, whose strides are the paper's, and with transformers: the rest is taken over.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from qc_worker.simplenet.backbones.timm import is_timm, timm_strides


@dataclass(frozen=True, slots=True)
class BackboneDefaults:
    """Settings that suit one backbone."""

    levels: tuple[int, ...] = (8, 16, 32)
    """Strides of the feature maps."""
    grid_stride: int = 16
    """Stride of the cells that are judged."""
    mask_levels: tuple[int, ...] = (4, 8, 16)
    """Strides of the feature maps that say where a defect is."""
    patch_size: int = 3
    """Side of the averaged neighbourhood, cells."""
    input_size: int = 256
    """Side of the input square that costs count in, pixels."""
    components: int = 256
    """Gaussians of each level's local whitening at the most."""
    distance_weights: tuple[float, ...] = (0.5, 1.0, 0.0)
    """Weight of each level's distance in their sum; 0: none is measured there."""
    discriminators: tuple[tuple[int, ...], ...] = ((0, 1), (0, 1, 2))
    """Which levels, by index, each discriminator reads."""
    synthetic_shares: tuple[float, ...] = (1.0, 0.5)
    """Of each discriminator's anomalous features: what share comes from synthetic defects."""
    hidden: int = 256
    """Hidden units of each discriminator."""
    sigmas: tuple[float, ...] = (1.0, 2.0)
    """Noise of the other anomalous features, in standard deviations of whitened features; mixed in equal shares."""
    steps: int = 400
    """Optimiser steps for each discriminator."""
    patches_per_step: int = 512
    """Good patches drawn for each step."""
    discriminator_lr: float = 2e-3
    """Adam's learning rate for the discriminator; the paper trains longer with 2e-4."""
    patches_per_frame: int = 1024
    """Cells of each frame whose features are kept."""


BACKBONE_DEFAULTS: Mapping[str, BackboneDefaults] = MappingProxyType(
    {
        "efficientnet_lite0": BackboneDefaults(),
        "wide_resnet50_2": BackboneDefaults(
            levels=(8, 16),
            grid_stride=8,
            mask_levels=(),
            distance_weights=(1.0, 1.0),
            discriminators=((0, 1),),
            synthetic_shares=(0.5,),
            patches_per_frame=256,
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
    """Fit settings to a backbone: masks from strides that it has; where all maps have one stride, that of its patches.

    Then the input's side is a multiple of them.
    """
    if len(strides) > 1:
        return replace(common, mask_levels=tuple(stride for stride in common.mask_levels if stride in strides))
    (patch,) = strides
    side = round(common.input_size / patch) * patch
    return replace(
        common,
        levels=strides,
        grid_stride=patch,
        mask_levels=(),
        distance_weights=(1.0,),
        discriminators=((0,),),
        synthetic_shares=(0.5,),
        input_size=side,
    )
