"""The layers that differ between production lines: standardiser, adaptors, local whitening, discriminators."""

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor, nn

from qc_worker.simplenet.adaptor import Adaptor
from qc_worker.simplenet.discriminator import Discriminator
from qc_worker.simplenet.head_shape import HeadShape
from qc_worker.simplenet.local_whitening import LocalWhitening, local_distances
from qc_worker.simplenet.standardiser import Standardiser


class Head(nn.Module):
    """A line's own layers.

    A patch's score is the sum over the head's parts (distances and discriminators), each normalised by its scores on
    good frames: sum_p (s_p - offset_p) / scale_p. Edges of the picture and of the part score higher on good frames too,
    so `offset` and `scale` may differ between cells. Shapes: (parts, rows, columns).
    """

    adaptors: Sequence[Adaptor]
    whitenings: Sequence[LocalWhitening]
    discriminators: Sequence[Discriminator]
    offset: Tensor
    scale: Tensor
    mask_head: "Head | None"
    """Judges finer cells, from finer levels: it locates defects, but does not decide if there is one."""

    def __init__(self, shape: HeadShape) -> None:
        super().__init__()
        self.shape = shape
        self.standardiser = Standardiser(sum(shape.level_channels))
        adaptors = nn.ModuleList(map(Adaptor, shape.level_channels, shape.adapted))
        # A ModuleList is a sequence of its modules, but its type does not say so.
        self.adaptors = cast(Sequence[Adaptor], adaptors)
        whitenings = nn.ModuleList(
            LocalWhitening(shape.adapted[level], shape.components[level], shape.nearest) for level in shape.distances
        )
        self.whitenings = cast(Sequence[LocalWhitening], whitenings)
        discriminators = nn.ModuleList(
            Discriminator(sum(shape.adapted[level] for level in levels), shape.hidden)
            for levels in shape.discriminators
        )
        self.discriminators = cast(Sequence[Discriminator], discriminators)
        self.register_buffer("offset", torch.zeros(shape.parts, *shape.cells))
        self.register_buffer("scale", torch.ones(shape.parts, *shape.cells))
        self.mask_head = None if shape.mask_head is None else Head(shape.mask_head)

    def adopt(self, mask_head: "Head") -> None:
        """Add a fitted mask head."""
        self.shape = replace(self.shape, mask_head=mask_head.shape)
        self.mask_head = mask_head

    def adapt(self, standardised: Tensor) -> list[Tensor]:
        """Compute the adapted features of each level. Shapes: (N, sum C_l) -> (N, d_l) each."""
        levels = torch.split(standardised, list(self.shape.level_channels), dim=1)
        return [adaptor(level) for adaptor, level in zip(self.adaptors, levels, strict=True)]

    def inputs(self, adapted: list[Tensor], index: int) -> Tensor:
        """Concatenate the adapted features that a discriminator reads. Shapes: (N, d_l) each -> (N, d)."""
        return torch.cat([adapted[level] for level in self.shape.discriminators[index]], dim=1)

    @torch.no_grad()
    def part_scores(self, patches: Tensor) -> Tensor:
        """Compute the score of every part, not normalised; needs eval mode. Shapes: (N, sum C_l) -> (parts, N)."""
        adapted = self.adapt(self.standardiser(patches))
        distances = [
            local_distances(adapted[level], whitening.centres, whitening.whiteners, whitening.nearest)
            for level, whitening in zip(self.shape.distances, self.whitenings, strict=True)
        ]
        learned = [
            -discriminator(self.inputs(adapted, index)) for index, discriminator in enumerate(self.discriminators)
        ]
        return torch.stack([*distances, *learned])

    @torch.no_grad()
    def patch_scores(self, embedding: Tensor) -> Tensor:
        """Compute the anomaly score of every patch; higher is more anomalous. Needs eval mode.

        This is the plain form: training uses it, and tests compare `folded` with it. Shapes: (B, sum C_l, h, w) -> (B,
        h, w).
        """
        batch, channels, height, width = embedding.shape
        patches = embedding.permute(0, 2, 3, 1).reshape(-1, channels)
        parts = self.part_scores(patches).view(-1, batch, height, width)
        return ((parts - self.offset[:, None]) / self.scale[:, None]).sum(dim=0)
