"""The truncated L1 loss of SimpleNet."""

import torch
from torch import Tensor
from torch.nn import functional as F


def truncated_l1(normal: Tensor, anomalous: Tensor, *, margin: float) -> Tensor:
    """Compute mean max(0, th - D(q)) + mean max(0, th + D(q')), SimpleNet (CVPR 2023), equation 7.

    `normal`, `anomalous`: the discriminator's outputs for adapted and for anomalous features, any shape. A
    discriminator that cannot tell them apart has a loss of 2 th or more.
    """
    return F.relu(margin - normal).mean() + F.relu(margin + anomalous).mean()


def chance_loss(margin: float) -> float:
    """Return the least loss of a discriminator that gives everything the same output."""
    return 2 * margin


def is_learned(closing_loss: float, *, margin: float) -> bool:
    """Return True if training ended clearly below chance; a loss that is not a number did not."""
    return bool(torch.isfinite(torch.tensor(closing_loss))) and closing_loss < 0.9 * chance_loss(margin)
