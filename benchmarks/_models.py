"""The models that race: shapes of heads, with random layers, for speed does not depend on what they learned."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from benchmarks._race import Model, SideSpec
from qc_worker.simplenet.backbone import Backbone, load_backbone
from qc_worker.simplenet.defaults import defaults_for
from qc_worker.simplenet.head import Head
from qc_worker.simplenet.spec import EmbeddingSpec

INPUT_SIZE = 256
UNITS_PER_DIRECTION = 2
"""|x| takes two LeakyReLUs."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What decides how much there is to compute."""

    levels: tuple[int, ...]
    patch_size: int
    hidden: int
    """Of all levels together."""
    separate: bool
    """Whether each hidden unit reads one level only."""


PAPER: Mapping[str, Shape] = {
    "efficientnet_lite0": Shape((16, 32), patch_size=3, hidden=1024, separate=False),
    "wide_resnet50_2": Shape((8, 16), patch_size=3, hidden=1024, separate=False),
}


def shape_of(backbone: str, model: Model) -> Shape:
    if model == "paper":
        return PAPER[backbone]
    defaults = defaults_for(backbone)
    units = defaults.hidden + UNITS_PER_DIRECTION * defaults.directions
    return Shape(defaults.levels, defaults.patch_size, units * len(defaults.levels), separate=True)


def backbone_of(spec: SideSpec) -> Backbone:
    levels = shape_of(spec.backbone, spec.model).levels
    return load_backbone(spec.backbone, levels=levels, weights_dir=Path(spec.scratch), file=Path(spec.weights))


def embedding_of(spec: SideSpec, backbone: Backbone) -> EmbeddingSpec:
    patch_size = shape_of(spec.backbone, spec.model).patch_size
    return EmbeddingSpec(spec.backbone, backbone.weights_sha256, backbone.levels, patch_size, INPUT_SIZE, "squash")


def line_head(spec: SideSpec, level_channels: tuple[int, ...], line: int) -> Head:
    """A line's head with random layers and statistics, the same for every side."""
    shape, channels = shape_of(spec.backbone, spec.model), sum(level_channels)
    torch.manual_seed(line)
    head = Head(channels, shape.hidden).eval()
    norm = head.discriminator.norm
    norm.running_mean = torch.randn(head.hidden)
    norm.running_var = 0.5 + torch.rand(head.hidden)
    head.standardiser.adopt(torch.randn(channels), 0.5 + torch.rand(channels))
    if shape.separate:
        _separate(head, level_channels)
    return head


@torch.no_grad()
def _separate(head: Head, level_channels: tuple[int, ...]) -> None:
    """Let each level be adapted by itself, and be read by hidden units of its own."""
    of_channel = _repeated(level_channels)
    of_unit = _repeated((head.hidden // len(level_channels),) * len(level_channels))
    head.adaptor.projection.weight.mul_(of_channel[:, None] == of_channel[None])
    head.discriminator.body.weight.mul_(of_unit[:, None] == of_channel[None])


def _repeated(counts: tuple[int, ...]) -> Tensor:
    return torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
