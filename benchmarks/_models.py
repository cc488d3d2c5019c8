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
    """Units that learned: of all levels together, or of each that has a discriminator if levels are separate."""
    separate: bool
    """Whether each hidden unit reads one level only."""
    wide_stride: int = 0
    learned_levels: int = 0
    directions: int = 0
    cells: tuple[int, int] = (1, 1)
    """Rows and columns of the grid at whose cells scores are normalised."""

    @property
    def strides(self) -> tuple[int, ...]:
        return (self.wide_stride, *self.levels) if self.wide_stride else self.levels

    def units(self, level_channels: tuple[int, ...]) -> tuple[int, ...]:
        """Hidden units of each level, the wide map last; of all together where levels are not separate."""
        if not self.separate:
            return (self.hidden,)
        learned = self.learned_levels or len(level_channels)
        return tuple(
            (self.hidden if level < learned else 0) + UNITS_PER_DIRECTION * min(self.directions, channels)
            for level, channels in enumerate(level_channels)
        )


PAPER: Mapping[str, Shape] = {
    "efficientnet_lite0": Shape((16, 32), patch_size=3, hidden=1024, separate=False),
    "wide_resnet50_2": Shape((8, 16), patch_size=3, hidden=1024, separate=False),
}


def shape_of(backbone: str, model: Model) -> Shape:
    if model == "paper":
        return PAPER[backbone]
    defaults = defaults_for(backbone)
    return Shape(
        defaults.levels,
        defaults.patch_size,
        defaults.hidden,
        separate=True,
        wide_stride=defaults.wide_stride,
        learned_levels=defaults.learned_levels,
        directions=defaults.directions,
        cells=(-(-INPUT_SIZE // defaults.levels[0]),) * 2,
    )


def backbone_of(spec: SideSpec) -> Backbone:
    strides = shape_of(spec.backbone, spec.model).strides
    return load_backbone(spec.backbone, levels=strides, weights_dir=Path(spec.scratch), file=Path(spec.weights))


def embedding_of(spec: SideSpec, backbone: Backbone) -> EmbeddingSpec:
    shape, sha256 = shape_of(spec.backbone, spec.model), backbone.weights_sha256
    size = (INPUT_SIZE, INPUT_SIZE)
    return EmbeddingSpec(spec.backbone, sha256, shape.levels, shape.patch_size, size, "squash", shape.wide_stride)


def line_head(spec: SideSpec, level_channels: tuple[int, ...], line: int) -> Head:
    """A line's head with random layers and statistics, the same for every side."""
    shape, channels = shape_of(spec.backbone, spec.model), sum(level_channels)
    torch.manual_seed(line)
    units = shape.units(level_channels)
    head = Head(channels, sum(units), shape.cells).eval().requires_grad_(False)
    norm = head.discriminator.norm
    norm.running_mean = torch.randn(head.hidden)
    norm.running_var = 0.5 + torch.rand(head.hidden)
    head.standardiser.adopt(torch.randn(channels), 0.5 + torch.rand(channels))
    if shape.cells != (1, 1):
        head.offset.normal_()
        head.scale.uniform_(0.5, 1.5)
    if shape.separate:
        _separate(head, level_channels, units)
    return head


@torch.no_grad()
def _separate(head: Head, level_channels: tuple[int, ...], units: tuple[int, ...]) -> None:
    """Let each level be adapted by itself, and be read by hidden units of its own."""
    of_channel = _repeated(level_channels)
    of_unit = _repeated(units)
    head.adaptor.projection.weight.mul_(of_channel[:, None] == of_channel[None])
    head.discriminator.body.weight.mul_(of_unit[:, None] == of_channel[None])


def _repeated(counts: tuple[int, ...]) -> Tensor:
    return torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
