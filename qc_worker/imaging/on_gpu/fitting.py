"""Resizes decoded pictures on the device as the CPU's path does: pictures of one size and orientation together."""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from qc_worker.imaging.aspect import Aspect, InputSize
from qc_worker.imaging.preprocessing import Box, Picture, as_stored, content_box
from qc_worker.imaging.resize import resize_dimension

# EXIF orientation: whether rows become columns, then which dimensions are flipped.
_UPRIGHT: dict[int, tuple[bool, tuple[int, ...]]] = {
    2: (False, (-1,)),
    3: (False, (-2, -1)),
    4: (False, (-2,)),
    5: (True, ()),
    6: (True, (-1,)),
    7: (True, (-2, -1)),
    8: (True, (-2,)),
}


def fit_on_device(pictures: Tensor, *, orientation: int, input_size: InputSize, aspect: Aspect) -> Iterator[Picture]:
    """Resize pictures into the input size and turn them upright by their EXIF orientation.

    Shapes: uint8 (N, 3, h, w), as stored. Raises RuntimeError if they do not fit the device's memory, or if the kernel
    cannot resize by so much.
    """
    height, width = pictures.shape[2:]
    image_size = as_stored((height, width), orientation)
    box = content_box(image_size, input_size, aspect)
    inner_size = as_stored((box.height, box.width), orientation)
    inner = _shrink(pictures, inner_size, as_stored(input_size, orientation))
    for pixels in _filled(_upright(inner, orientation), box, input_size):
        yield Picture(pixels, image_size)


def _shrink(pictures: Tensor, size: tuple[int, int], input_size: InputSize) -> Tensor:
    """Resize as the CPU's path does, rounding where it rounds.

    `size` and `input_size` are (height, width), as the pictures are stored.
    Shapes: uint8 (N, 3, h, w) -> float32 (N, 3, *size) of whole numbers.
    """
    height, width = pictures.shape[2:]
    side = _block_side(height, width, input_size)
    blocks = pictures.float()
    if side > 1:
        blocks = F.avg_pool2d(blocks, side, ceil_mode=True, count_include_pad=False).round_()
    narrowed = resize_dimension(blocks, 3, size[1], width / side).round_()
    return resize_dimension(narrowed, 2, size[0], height / side).round_().clamp_(0, 255)


def _block_side(height: int, width: int, input_size: InputSize) -> int:
    """Return by how much smaller the CPU's path would decode: libjpeg offers 1, 2, 4 and 8."""
    scale = min(height // input_size[0], width // input_size[1])
    return max(side for side in (1, 2, 4, 8) if side <= max(1, scale))


def _upright(pictures: Tensor, orientation: int) -> Tensor:
    transposed, flips = _UPRIGHT.get(orientation, (False, ()))
    turned = pictures.transpose(-2, -1) if transposed else pictures
    return turned.flip(flips) if flips else turned


def _filled(pictures: Tensor, box: Box, input_size: InputSize) -> Tensor:
    """Repeat the pictures' borders outwards. Shapes: (N, 3, box.height, box.width) -> uint8 (N, 3, H, W)."""
    margins = (
        box.left,
        input_size[1] - box.left - box.width,
        box.top,
        input_size[0] - box.top - box.height,
    )
    filled = F.pad(pictures, margins, mode="replicate") if any(margins) else pictures
    return filled.to(torch.uint8).contiguous(memory_format=torch.channels_last)
