"""Build the models that race, with random layers: speed does not depend on what they learned."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from benchmarks.harness.contestant import Model, SideSpec
from qc_worker.simplenet.backbones.backbone import Backbone, load_backbone
from qc_worker.simplenet.fit_settings import FitSettings
from qc_worker.simplenet.head import Head
from qc_worker.simplenet.head_shape import HeadShape
from qc_worker.simplenet.spec import EmbeddingSpec
from trainer.fitting.defaults import defaults_for
from trainer.fitting.mask_head_fit import mask_settings
from trainer.fitting.mixture import MAX_FEATURES, component_count
from trainer.fitting.whitening import adapted_channels

INPUT_SIZE = 256


@dataclass(frozen=True, slots=True)
class Shape:
    """Parameters that determine the amount of computation."""

    levels: tuple[int, ...]
    grid_stride: int
    patch_size: int
    hidden: int
    discriminators: tuple[tuple[int, ...], ...]
    distance_weights: tuple[float, ...] = ()
    """Weight of the distance at each level, 0 for no distance; empty: no distances, and no normalisation by cell."""
    components: int = 0
    max_whitener_bytes: int = 0
    mask_levels: tuple[int, ...] = ()
    """Strides of the maps that masks are made from; empty: lines have no mask head."""

    @property
    def grid(self) -> tuple[int, int]:
        return (-(-INPUT_SIZE // self.grid_stride),) * 2

    def head(self, level_channels: tuple[int, ...]) -> HeadShape:
        """Return the shape of the head: with distances, as the trainer makes it; without, all channels are adapted."""
        if not self.distance_weights:
            nothing = (0,) * len(level_channels)
            return HeadShape(level_channels, level_channels, nothing, self.discriminators, self.hidden)
        adapted = tuple(map(adapted_channels, level_channels))
        measured = [own for own, weight in zip(adapted, self.distance_weights, strict=True) if weight]
        count = component_count(
            self.components, features=MAX_FEATURES, channels=measured, max_bytes=self.max_whitener_bytes
        )
        components = tuple(count if weight else 0 for weight in self.distance_weights)
        return HeadShape(level_channels, adapted, components, self.discriminators, self.hidden, self.grid)


PAPER: Mapping[str, Shape] = {
    "efficientnet_lite0": Shape((8, 16), grid_stride=8, patch_size=3, hidden=1024, discriminators=((0, 1),)),
    "wide_resnet50_2": Shape((8, 16), grid_stride=8, patch_size=3, hidden=1024, discriminators=((0, 1),)),
}
"""The paper's strides and head, but with one adaptor for each level, as in ours."""


def shape_of(backbone: str, model: Model) -> Shape:
    if model == "paper":
        return PAPER[backbone]
    defaults = defaults_for(backbone)
    return Shape(
        defaults.levels,
        defaults.grid_stride,
        defaults.patch_size,
        defaults.fit.hidden,
        defaults.fit.discriminators,
        distance_weights=defaults.fit.distance_weights,
        components=defaults.fit.components,
        max_whitener_bytes=defaults.fit.max_whitener_bytes,
        mask_levels=defaults.mask_levels,
    )


def backbone_of(spec: SideSpec) -> Backbone:
    shape = shape_of(spec.backbone, spec.model)
    levels = tuple(sorted({*shape.levels, *shape.mask_levels}))
    return load_backbone(spec.backbone, levels=levels, weights_dir=Path(spec.scratch), file=Path(spec.weights))


def embedding_of(spec: SideSpec, backbone: Backbone) -> EmbeddingSpec:
    shape, sha256 = shape_of(spec.backbone, spec.model), backbone.weights_sha256
    return EmbeddingSpec(
        backbone=spec.backbone,
        weights_sha256=sha256,
        levels=shape.levels,
        patch_size=shape.patch_size,
        input_size=(INPUT_SIZE, INPUT_SIZE),
        aspect="squash",
        grid_stride=shape.grid_stride,
        mask_levels=shape.mask_levels,
    )


def line_head(
    spec: SideSpec, level_channels: tuple[int, ...], line: int, *, mask_channels: tuple[int, ...] = ()
) -> Head:
    """Make a line's head with random layers, equal for every side; with `mask_channels`, add a mask head.

    The mask head only affects memory: no frame of a race is rejected.
    """
    torch.manual_seed(line)
    shape = shape_of(spec.backbone, spec.model)
    head = _random_head(shape.head(level_channels))
    if mask_channels:
        head.adopt(_random_head(_mask_shape(shape, defaults_for(spec.backbone).fit, mask_channels)))
    return head


def _mask_shape(line: Shape, fit: FitSettings, mask_channels: tuple[int, ...]) -> HeadShape:
    settings = mask_settings(fit, len(mask_channels))
    shape = Shape(
        line.mask_levels,
        grid_stride=min(line.mask_levels),
        patch_size=1,
        hidden=settings.hidden,
        discriminators=settings.discriminators,
        distance_weights=settings.distance_weights,
        components=settings.components,
        max_whitener_bytes=settings.max_whitener_bytes,
    )
    return replace(shape.head(mask_channels), nearest=settings.nearest)


def _random_head(shape: HeadShape) -> Head:
    head = Head(shape).eval().requires_grad_(False)
    for discriminator in head.discriminators:
        discriminator.norm.running_mean = torch.randn(head.shape.hidden)
        discriminator.norm.running_var = 0.5 + torch.rand(head.shape.hidden)
    for whitening in head.whitenings:
        whitening.centres.normal_()
    channels = sum(shape.level_channels)
    head.standardiser.adopt(torch.randn(channels), 0.5 + torch.rand(channels))
    if head.shape.cells != (1, 1):
        head.offset.normal_()
        head.scale.uniform_(0.5, 1.5)
    return head
