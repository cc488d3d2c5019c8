"""Anomalous features: adapted features of good frames with Gaussian noise added (SimpleNet, equation 5)."""

from collections.abc import Sequence

import torch
from torch import Tensor


class AnomalousFeatures:
    """Adds eps ~ N(0, sigma^2) to every element; each feature draws its sigma from `sigmas` at equal chance.

    One sigma is the paper's generator. Several make a mixture: small ones keep the boundary tight, large ones keep
    the discriminator from being blind farther out.
    """

    def __init__(self, sigmas: Sequence[float], random: torch.Generator) -> None:
        self._sigmas = torch.tensor(sigmas, dtype=torch.float32, device=random.device)
        self._random = random

    def __call__(self, features: Tensor) -> Tensor:
        """Add noise: (N, C) adapted features -> (N, C) anomalous features; gradients pass through."""
        noise = torch.randn(features.shape, generator=self._random, device=features.device)
        drawn = torch.randint(len(self._sigmas), (len(features), 1), generator=self._random, device=features.device)
        return features + noise * self._sigmas[drawn]
