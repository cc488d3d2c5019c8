"""Fit a level's local whitening: k-means, then a shrunk covariance for each cluster.

A cluster's covariance leans on that of all clusters, as if it had as many more features as there are channels.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from qc_worker.simplenet.local_whitening import LocalWhitening
from trainer.features.patch_bank import BYTES_PER_NUMBER

ROUNDS = 8
SEARCHED = 40_000
"""Features that centres are searched with."""
MAX_FEATURES = 80_000
"""Features that clusters are made of."""
MIN_FEATURES_EACH = 64
"""Fewest features for each cluster."""
SHRINKAGE = 1e-3
"""Variance added in every direction, where all features have 1: no direction is scaled up more than thirtyfold."""
ROWS_AT_ONCE = 16_384


def component_count(wanted: int, *, features: int, channels: Sequence[int], max_bytes: int) -> int:
    """Compute the number of components of each level: at least one, at most what features and memory support.

    `channels`: the adapted ones of each level that has components. `max_bytes`: memory for all whiteners, float32.
    """
    affordable = max_bytes // (BYTES_PER_NUMBER * sum(own**2 for own in channels))
    return max(1, min(wanted, affordable, min(features, MAX_FEATURES) // MIN_FEATURES_EACH))


@torch.no_grad()
def fit_mixture(whitening: LocalWhitening, features: Tensor) -> None:
    """Set centres and whiteners from adapted features of good frames, in an order that was drawn. Shape: (N, d)."""
    drawn = features[:MAX_FEATURES]
    centres = drawn[: len(whitening.centres)]
    for _ in range(ROUNDS - 1):
        centres, _ = _moved(centres, drawn[:SEARCHED])
    centres, owners = _moved(centres, drawn)
    whitening.centres.copy_(centres)
    whitening.whiteners.copy_(_whiteners(_covariances(drawn, centres, owners)))


def _moved(centres: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
    """Run a round of Lloyd's algorithm. Shapes: (K, d), (N, d) -> (K, d), each feature's centre, int64 (N,)."""
    owners = torch.cat([_nearest(chunk, centres) for chunk in torch.split(features, ROWS_AT_ONCE)])
    counts = torch.bincount(owners, minlength=len(centres))[:, None]
    sums = torch.zeros_like(centres).index_add_(0, owners, features)
    return torch.where(counts > 0, sums / counts.clamp_min(1), centres), owners


def _nearest(features: Tensor, centres: Tensor) -> Tensor:
    return torch.addmm(-centres.square().sum(dim=1) / 2, features, centres.T).argmax(dim=1)


def _covariances(features: Tensor, centres: Tensor, owners: Tensor) -> Tensor:
    """Compute the shrunk covariance of each cluster. Shapes: (N, d), (K, d), (N,) -> (K, d, d)."""
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
    """Compute inverse roots W with W W^T = C^(-1), from Cholesky factors. Shapes: (K, d, d) -> (K, d, d)."""
    unit = torch.eye(covariances.shape[1]).expand_as(covariances)
    inverse: Tensor = torch.linalg.solve_triangular(torch.linalg.cholesky(covariances), unit, upper=False)
    return inverse.mT
