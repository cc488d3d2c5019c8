"""Defaults of each backbone: the maps that are read from it and the settings of the fit, chosen by evidence.

Decided on the labelled defects of six real products, by the mean, the worst and the recall at 1 % false rejects
(docs/explanation/model.md describes how, docs/explanation/variants.md lists every variant that was tried). Nothing
was measured with `wide_resnet50_2`, which has the paper's strides, and with transformers: they get the other values
unmeasured.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from qc_worker.simplenet.backbones.timm import is_timm, timm_strides
from qc_worker.simplenet.fit_settings import FitSettings


@dataclass(frozen=True, slots=True)
class BackboneDefaults:
    """Settings that suit one backbone; the defaults are those of `efficientnet_lite0`."""

    levels: tuple[int, ...] = (8, 16, 32)
    """Strides of the feature maps."""
    grid_stride: int = 16
    """Stride of the cells that are judged."""
    mask_levels: tuple[int, ...] = (4, 8, 16)
    """Strides of the feature maps that locate defects."""
    patch_size: int = 3
    """Side of the averaged neighbourhood, cells."""
    input_size: int = 256
    """Side of the input square that costs count in, pixels."""
    fit: FitSettings = field(default_factory=FitSettings)
    """Settings of the fit of a head on these levels."""


BACKBONE_DEFAULTS: Mapping[str, BackboneDefaults] = MappingProxyType(
    {
        "efficientnet_lite0": BackboneDefaults(),
        "wide_resnet50_2": BackboneDefaults(
            levels=(8, 16),
            grid_stride=8,
            mask_levels=(),
            fit=FitSettings(
                distance_weights=(1.0, 1.0),
                discriminators=((0, 1),),
                synthetic_shares=(0.5,),
                patches_per_frame=256,
            ),
        ),
    }
)


def defaults_for(backbone: str) -> BackboneDefaults:
    """Return the settings for any backbone; one that is not in the table gets the common ones, a ViT its only stride.

    Raises ModelError if timm cannot build it.
    """
    if backbone in BACKBONE_DEFAULTS or not is_timm(backbone):
        return BACKBONE_DEFAULTS.get(backbone, BackboneDefaults())
    return with_strides(BackboneDefaults(), timm_strides(backbone))


def with_strides(common: BackboneDefaults, strides: tuple[int, ...]) -> BackboneDefaults:
    """Fit settings to the strides of a backbone's maps.

    With several strides, masks come from those of `mask_levels` that the backbone has. With one, as in transformers,
    the head has one level, and the input's side becomes a multiple of the stride.
    """
    if len(strides) > 1:
        return replace(common, mask_levels=tuple(stride for stride in common.mask_levels if stride in strides))
    (patch,) = strides
    side = round(common.input_size / patch) * patch
    one_level = {"distance_weights": (1.0,), "discriminators": ((0,),), "synthetic_shares": (0.5,)}
    return replace(
        common,
        levels=strides,
        grid_stride=patch,
        mask_levels=(),
        input_size=side,
        fit=common.fit.model_copy(update=one_level),
    )
