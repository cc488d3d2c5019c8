"""The adaptor of one level: full-covariance whitening of its standardised features.

In whitened space isotropic noise is the same everywhere, so what a discriminator learns follows the Mahalanobis
distance instead of the channels with the largest spread. Affine, so it folds like any adaptor.
"""

import torch
from torch import Tensor

from trainer.patch_bank import PatchFeatures

SHRINKAGE = 1e-3
"""Share of the identity in the covariance: directions that good frames all but lack are kept from being blown up."""
MAX_ADAPTED = 192
"""Channels behind an adaptor at the most; of a level with more those directions with the largest variance."""


def adapted_channels(channels: int) -> int:
    """How many channels a level has behind its adaptor."""
    return min(channels, MAX_ADAPTED)


def whitening(features: PatchFeatures) -> Tensor:
    """W such that W times standardised features has the identity as covariance. Shape: (adapted, C)."""
    covariance = _covariance(features)
    shrunk = (1 - SHRINKAGE) * covariance + SHRINKAGE * torch.eye(len(covariance), dtype=torch.float64)
    variances, directions = torch.linalg.eigh(shrunk)
    scaled = directions * variances.clamp_min(SHRINKAGE / 2).rsqrt()
    if len(covariance) <= MAX_ADAPTED:
        return (scaled @ directions.T).float()
    return scaled[:, -MAX_ADAPTED:].T.float()


def _covariance(features: PatchFeatures) -> Tensor:
    """Of standardised features, whose means are 0; chunks multiplied in float32, summed in float64."""
    channels = features.bank.channels
    total = torch.zeros(channels, channels, dtype=torch.float64)
    for rows in features.standardised_chunks():
        total += (rows.T @ rows).double()
    return total / len(features.bank)
