"""Pads batches to few sizes, for devices on which the first batch of every size is slow."""

from collections.abc import Sequence
from typing import TypeVar

import torch.nn.functional as F
from torch import Tensor

T = TypeVar("T")


def bucket_sizes(limit: int) -> tuple[int, ...]:
    """List the sizes that batches of 1 to `limit` frames are padded to: 1, 2, 4, ... and the limit itself."""
    return (*(2**power for power in range(limit.bit_length()) if 2**power < limit), limit)


def bucket(count: int, sizes: Sequence[int]) -> int:
    """Return the smallest of `sizes` that holds so many frames; `count` itself if none does."""
    return min((size for size in sizes if size >= count), default=count)


def filled(items: Sequence[T], size: int) -> Sequence[T]:
    """Repeat the last item until there are `size`."""
    return items if len(items) == size else [*items, *[items[-1]] * (size - len(items))]


def filled_pixels(pixels: Tensor, size: int) -> Tensor:
    """Add black frames until there are `size`; the memory layout stays. Shapes: (B, 3, H, W) -> (size, 3, H, W)."""
    return pixels if len(pixels) == size else F.pad(pixels, (0, 0, 0, 0, 0, 0, 0, size - len(pixels)))
