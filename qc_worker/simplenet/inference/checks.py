"""Refuses heads and backbones that do not belong together."""

from qc_worker.domain.errors import ModelError
from qc_worker.simplenet.backbones.backbone import Backbone
from qc_worker.simplenet.head import Head
from qc_worker.simplenet.spec import EmbeddingSpec


def check_takes(head: Head, channels: tuple[int, ...], spec: EmbeddingSpec) -> None:
    """Raise ModelError if the head is for levels of other channels."""
    if head.shape.level_channels != channels:
        raise ModelError(
            f"the head takes levels of {head.shape.level_channels} channels, {spec.backbone} gives {channels}"
        )


def check_fits(backbone: Backbone, spec: EmbeddingSpec) -> None:
    """Raise ModelError if the backbone is not the one that `spec` describes."""
    if (backbone.name, backbone.levels) != (spec.backbone, spec.backbone_levels):
        raise ModelError(f"expected {spec.backbone} {spec.backbone_levels}, got {backbone.name} {backbone.levels}")
    if backbone.weights_sha256 != spec.weights_sha256:
        raise ModelError(
            f"the model was trained with other weights of {spec.backbone}: sha256 {spec.weights_sha256[:12]}..., "
            f"here are {backbone.weights_sha256[:12]}..."
        )
