"""Fitting a level's local whitening: k-means, then a shrunk covariance for each cluster.

A cluster's covariance leans on that of all clusters, as if it had as many more features as there are channels.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from qc_worker.simplenet.local_whitening import LocalWhitening
from trainer.patch_bank import BYTES_PER_NUMBER

ROUNDS = 8
MAX_FEATURES = 80_000
"""Features that clusters are made of."""
MIN_FEATURES_EACH = 64
MAX_WHITENER_BYTES = 14 << 20
"""Of all levels, in float32: a resident line has 20 MB."""
SHRINKAGE = 1e-3
"""Variance added in every direction, in those of all features: none is blown up more than thirtyfold."""
MIN_VARIANCE = 1e-4
ROWS_AT_ONCE = 16_384


def component_count(wanted: int, *, features: int, channels: Sequence[int], max_bytes: int = MAX_WHITENER_BYTES) -> int:
    """How many components each level may have, at least one: what features and the memory of a line support.

    `channels`: adapted ones of each level that has any.
    """
    affordable = max_bytes // (BYTES_PER_NUMBER * sum(own**2 for own in channels))
    return max(1, min(wanted, affordable, min(features, MAX_FEATURES) // MIN_FEATURES_EACH))


@torch.no_grad()
def fit_mixture(whitening: LocalWhitening, features: Tensor) -> None:
    """Set centres and whiteners from adapted features of good frames, in an order that was drawn. Shape: (N, d)."""
    drawn = features[:MAX_FEATURES]
    centres, owners = _clusters(drawn, len(whitening.centres))
    whitening.centres.copy_(centres)
    whitening.whiteners.copy_(_whiteners(_covariances(drawn, centres, owners)))


def _clusters(features: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Lloyd's algorithm from the first features, which were drawn. Shapes: (N, d) -> (K, d), int64 (N,)."""
    centres = features[:count].clone()
    for _ in range(ROUNDS):
        owners = torch.cat([_nearest(chunk, centres) for chunk in torch.split(features, ROWS_AT_ONCE)])
        counts = torch.bincount(owners, minlength=count)[:, None]
        sums = torch.zeros_like(centres).index_add_(0, owners, features)
        centres = torch.where(counts > 0, sums / counts.clamp_min(1), centres)
    return centres, owners


def _nearest(features: Tensor, centres: Tensor) -> Tensor:
    return torch.addmm(-centres.square().sum(dim=1) / 2, features, centres.T).argmax(dim=1)


def _covariances(features: Tensor, centres: Tensor, owners: Tensor) -> Tensor:
    """Shrunk covariance of each cluster. Shapes: (N, d), (K, d), (N,) -> (K, d, d)."""
    channels = features.shape[1]
    scatters = torch.zeros(len(centres), channels, channels)
    counts = torch.bincount(owners, minlength=len(centres))
    order = owners.argsort(stable=True)
    for index, rows in enumerate(torch.split(order, counts.tolist())):
        offsets = features[rows] - centres[index]
        scatters[index] = offsets.T @ offsets
    pooled = scatters.sum(dim=0) / len(features)
    own = counts / (counts + channels)
    means = scatters / counts.clamp_min(1)[:, None, None]
    shrunk = own[:, None, None] * means + (1 - own)[:, None, None] * pooled
    return shrunk + SHRINKAGE * torch.eye(channels)


def _whiteners(covariances: Tensor) -> Tensor:
    """Symmetric inverse roots. Shapes: (K, d, d) -> (K, d, d)."""
    variances, directions = torch.linalg.eigh(covariances)
    roots: Tensor = (directions * variances.clamp_min(MIN_VARIANCE).rsqrt()[:, None]) @ directions.mT
    return roots
