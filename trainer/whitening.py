"""The adaptor of a head: full-covariance whitening of one level's features.

In whitened space isotropic noise is the same everywhere, so what the discriminator learns follows the Mahalanobis
distance instead of the channels with the largest spread. Affine, so it folds like any adaptor.
"""

import torch
from torch import Tensor

from trainer.patch_bank import PatchFeatures

SHRINKAGE = 1e-3
"""Share of the identity in the covariance: directions that good frames all but lack are kept from being blown up."""


def whitening(features: PatchFeatures) -> Tensor:
    """Symmetric W such that standardised features times W have the identity as covariance. Shape: (C, C)."""
    covariance = _covariance(features)
    shrunk = (1 - SHRINKAGE) * covariance + SHRINKAGE * torch.eye(len(covariance), dtype=torch.float64)
    variances, directions = torch.linalg.eigh(shrunk)
    inverse_root: Tensor = directions @ torch.diag(variances.clamp_min(SHRINKAGE / 2).rsqrt()) @ directions.T
    return inverse_root.float()


def _covariance(features: PatchFeatures) -> Tensor:
    """Of standardised features, whose means are 0; chunks multiplied in float32, summed in float64."""
    channels = features.bank.channels
    total = torch.zeros(channels, channels, dtype=torch.float64)
    for rows in features.standardised_chunks():
        total += (rows.T @ rows).double()
    return total / len(features.bank)
