"""The adaptor of one level: full-covariance whitening of its standardised features.

In whitened space isotropic noise is the same everywhere, so what a discriminator learns follows the Mahalanobis
distance instead of the channels with the largest spread. Affine, so it folds like any adaptor.
"""

import torch
from torch import Tensor

SHRINKAGE = 1e-3
"""Share of the identity in the covariance: limits the scale of directions that good frames hardly have."""
MAX_ADAPTED = 192
"""Most channels behind an adaptor; of a level with more, the directions with the largest variance are kept."""


def adapted_channels(channels: int) -> int:
    """Count the channels of a level behind its adaptor."""
    return min(channels, MAX_ADAPTED)


def whitening(covariance: Tensor) -> Tensor:
    """Compute W such that W times features of this covariance has the identity as covariance.

    Shapes: (C, C) -> (adapted, C).
    """
    shrunk = (1 - SHRINKAGE) * covariance.double() + SHRINKAGE * torch.eye(len(covariance), dtype=torch.float64)
    variances, directions = torch.linalg.eigh(shrunk)
    scaled: Tensor = directions * variances.clamp_min(SHRINKAGE / 2).rsqrt()
    if len(covariance) <= MAX_ADAPTED:
        symmetric: Tensor = scaled @ directions.T
        return symmetric.float()
    leading: Tensor = scaled[:, -MAX_ADAPTED:].T
    return leading.float()
