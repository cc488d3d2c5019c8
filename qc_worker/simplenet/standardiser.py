"""Embeddings with mean 0 and standard deviation 1 per channel, by statistics of the training frames.

Not in the paper: it makes the noise's sigma mean the same on every backbone.
"""

import torch
from torch import Tensor, nn

FLOOR_SHARE = 0.01


class Standardiser(nn.Module):
    """z = (o - mean) / std per channel; the identity until it adopts any. Shapes: (N, C) -> (N, C)."""

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

        A channel that is all but constant on good frames is kept from being blown up: its standard deviation is
        at least 1 % of the channels' average.
        """
        floor = std.mean() * FLOOR_SHARE
        self.mean.copy_(mean)
        self.std.copy_(std.clamp_min(floor) if floor > 0 else torch.ones_like(std))
