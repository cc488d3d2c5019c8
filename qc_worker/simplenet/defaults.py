"""What each backbone is used with unless the trainer is told otherwise; chosen by evidence.

`sigma` is the standard deviation of the anomalous features' noise on standardised embeddings (mean 0 and standard
deviation 1 per channel over the training frames), so that it means the same on every backbone. The paper's 0.015
presumes the raw features of WideResNet-50.

Evidence: magnetic tiles, `efficientnet_lite0`, 256 px squashed, 512 hidden, 400 steps of 4,096 patches.
Strides 8 and 16: sigma 0.25-0.5 gives image AUROC 0.76-0.80 over seeds; the paper's sigma on raw features never
learns (the loss stays at 1.0). Strides 16 and 32: 0.78, with better pixel AUROC.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class BackboneDefaults:
    """Settings that suit one backbone."""

    levels: tuple[int, ...] = (8, 16)
    """Strides of the feature maps."""
    patch_size: int = 3
    """Side of the averaged neighbourhood, cells."""
    input_size: int = 256
    """Side of the input square, pixels."""
    hidden: int = 512
    """Width of the discriminator's hidden layer."""
    sigma: float = 0.35
    """Noise of the anomalous features, in standard deviations of the embedding."""


BACKBONE_DEFAULTS: Mapping[str, BackboneDefaults] = MappingProxyType(
    {
        "efficientnet_lite0": BackboneDefaults(),
        "wide_resnet50_2": BackboneDefaults(hidden=1024),
    }
)


def defaults_for(backbone: str) -> BackboneDefaults:
    """Settings for any backbone; one that is not in the table gets the common ones."""
    return BACKBONE_DEFAULTS.get(backbone, BackboneDefaults())
