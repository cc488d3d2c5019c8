"""Measures distances in locally whitened space: a mixture of Gaussians, each with a covariance of its own.

One covariance for the whole picture would hide deviations of what varies little in its place: a thread, an edge, the
background. So adapted features are compared with good features that are similar to them: the Mahalanobis distance to
the best of the nearest components (as PaDiM's, arXiv:2011.08785, which has one Gaussian for each cell and so needs
parts in one pose).
"""

import torch
from torch import Tensor, nn

BLOCKS_MULTIPLE = 64
"""The number of blocks in a batched product is a multiple of this; the last ones are empty."""


class LocalWhitening(nn.Module):
    """A mixture of Gaussians over one level's adapted features. Shapes: `centres` (K, d), `whiteners` (K, d, d)."""

    centres: Tensor
    whiteners: Tensor

    def __init__(self, channels: int, components: int, nearest: int) -> None:
        """Create standard Gaussians; the smallest distance to the `nearest` of them, by their centres, counts."""
        super().__init__()
        self.nearest = nearest
        self.register_buffer("centres", torch.zeros(components, channels))
        self.register_buffer("whiteners", torch.eye(channels).repeat(components, 1, 1))

    def forward(self, features: Tensor) -> Tensor:
        """Compute the distance of each feature; tests compare `local_distances` with it. Shapes: (N, d) -> (N,)."""
        nearest = nearest_components(features, self.centres, self.nearest)
        offsets = features[:, None] - self.centres[nearest]
        whitened = torch.einsum("nmd,nmde->nme", offsets, self.whiteners[nearest])
        return whitened.square().sum(dim=-1).amin(dim=1).sqrt()


def nearest_components(features: Tensor, centres: Tensor, count: int) -> Tensor:
    """Find the components whose centres are nearest. Shapes: (N, d), (K, d) -> int64 (N, min(count, K))."""
    # |q - c|^2 without |q|^2, which is equal for all centres.
    closeness = torch.addmm(-centres.square().sum(dim=1) / 2, features, centres.T)
    return closeness.topk(min(count, len(centres)), dim=1).indices


def local_distances(features: Tensor, centres: Tensor, whiteners: Tensor, count: int) -> Tensor:
    """Compute the distance of each feature, as `LocalWhitening` does, without a copy of a whitener for each of them.

    Features of one component are put into blocks of equal length, so that one batched product serves all.
    `whiteners` may have a shorter number format; everything else is float32.
    Shapes: (N, d), (K, d), (K, d, d) -> float32 (N,).
    """
    nearest = nearest_components(features, centres, count)
    owners, order = nearest.flatten().sort(stable=True)
    rows = order // nearest.shape[1]
    length = _block_length(len(owners), len(centres))
    slots, more = _slots(owners, len(centres), length)
    blocks = features.new_zeros((len(centres) + len(more)) * length, features.shape[1], dtype=whiteners.dtype)
    blocks[slots] = (features[rows] - centres[owners]).to(whiteners.dtype)
    first, others = torch.split(blocks.view(-1, length, features.shape[1]), [len(centres), len(more)])
    whitened = [torch.bmm(first, whiteners), torch.bmm(others, whiteners.index_select(0, more))]
    squares = torch.cat([part.float().square_().sum(dim=-1).flatten() for part in whitened])[slots]
    found = torch.empty_like(squares)
    found[order] = squares
    return found.view(nearest.shape).amin(dim=1).sqrt()


def _block_length(pairs: int, components: int) -> int:
    """Choose a power of two near the mean pairs per component: longer blocks are padding, shorter ones copies."""
    return 1 << max(2, (pairs // components).bit_length() - 1)


def _slots(owners: Tensor, components: int, length: int) -> tuple[Tensor, Tensor]:
    """Place sorted pairs into blocks that have one owner each: the first of each component, in order, then others.

    Shapes: int64 (P,) -> where each pair lies, (P,), and the component of each further block.
    """
    counts = torch.bincount(owners, minlength=components)
    further = (counts - 1).clamp_(min=0) // length
    first_pair, first_further = counts.cumsum(0) - counts, components + further.cumsum(0) - further
    position = torch.arange(len(owners), device=owners.device) - first_pair[owners]
    block = torch.where(position < length, owners, first_further[owners] + position // length - 1)
    more = torch.arange(components, device=owners.device).repeat_interleave(further)
    # Padded to few different counts: a CPU keeps kernels for every shape that it ever multiplied.
    return block * length + position % length, nn.functional.pad(more, (0, -len(more) % BLOCKS_MULTIPLE))
