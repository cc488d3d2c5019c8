"""Standardises embeddings to mean 0 and standard deviation 1 per channel, by statistics of the training frames.

Not in the paper: it gives the noise's sigma the same meaning on every backbone.
"""

import torch
from torch import Tensor, nn

FLOOR_SHARE = 0.01


class Standardiser(nn.Module):
    """z = (o - mean) / std per channel; the identity until `adopt` is called. Shapes: (N, C) -> (N, C)."""

    mean: Tensor
    std: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("std", torch.ones(channels))

    def forward(self, patches: Tensor) -> Tensor:
        return (patches - self.mean) / self.std

    def adopt(self, mean: Tensor, std: Tensor) -> None:
        """Take the statistics of good frames' embeddings, (C,) each.

        A channel that hardly varies on good frames must not be magnified: its standard deviation is set to at least 1 %
        of the channels' average.
        """
        floor = std.mean() * FLOOR_SHARE
        self.mean.copy_(mean)
        self.std.copy_(std.clamp_min(floor) if floor > 0 else torch.ones_like(std))
