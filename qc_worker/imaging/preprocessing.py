"""Decodes pictures to the rectangle that enters the backbone, by one path for training and serving.

Each kind of pixels becomes RGB as follows:

- grey, 1-bit, palette, CMYK, YCbCr, HSV: Pillow's conversion; colour profiles are not applied.
- alpha and transparent palette entries: laid over black; alpha that is 0 everywhere is an unused byte.
- 16-bit grey (and 32-bit integers up to 65,535): 0 to the highest value of the line's bit depth becomes 0..255; values
  beyond it are refused. A TIFF that packs 12 bits has that depth, whatever the line's.
- 16-bit colour: its upper 8 bits; a camera with 10 or 12 must align them left.
- floating point: 0..1 if no pixel is above 1, else 0..255.
- EXIF orientation is applied; `image_size` is the size after it.

In a TIFF with previews, the page of full resolution is decoded.

Refused: anything with several frames (except the first picture of an MPO, as phones write them), formats that are
documents, containers or run other programs (EPS, PDF, WMF, ...), truncated files.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageFile
from torch import Tensor

from qc_worker.imaging.aspect import FULL_DEPTH, Aspect, InputSize
from qc_worker.imaging.bit_depth import check_colour
from qc_worker.imaging.opening import UPRIGHT, ImageLimits, opened, orientation_of
from qc_worker.imaging.resize import shrink

SIDEWAYS = (5, 6, 7, 8)
"""EXIF orientations that swap width and height."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded frame. `pixels`: uint8 (3, H, W), RGB, in memory with the channels innermost."""

    pixels: Tensor
    image_size: tuple[int, int]
    """Height and width of the original after EXIF orientation, pixels."""
    decoded: torch.cuda.Event | None = None
    """On CUDA: event of the decoding; `on_gpu.decode_stream.received` makes another stream wait for it."""


class Box(NamedTuple):
    """A rectangle in pixels."""

    left: int
    top: int
    width: int
    height: int


def decode_picture(
    content: bytes, *, input_size: InputSize, aspect: Aspect, limits: ImageLimits, bit_depth: int = FULL_DEPTH
) -> Picture:
    """Decode, turn upright, convert to RGB of `input_size`. Any number of threads may call it.

    `bit_depth`: how many of its bits a picture of 16 a channel uses (`EmbeddingSpec.bit_depth`).

    Raises InvalidFrame.
    """
    with opened(content, limits) as image:
        # Give the decoder everything at once: each block of 64 KB would otherwise wait for the interpreter's lock.
        image.decodermaxblock = len(content)
        return _to_picture(image, input_size, aspect, bit_depth)


def picture_size(content: bytes, limits: ImageLimits) -> tuple[int, int]:
    """Read height and width after EXIF orientation, pixels, from the header alone. Any number of threads may call it.

    A PNG that states its orientation after its pixels, which would have to be decoded for that, counts as upright.
    Raises InvalidFrame.
    """
    with opened(content, limits) as image:
        # Pillow gives the upright size of a TIFF from the start.
        is_upright = image.format == "TIFF" or (image.format == "PNG" and "exif" not in image.info)
        return as_stored((image.height, image.width), 1 if is_upright else orientation_of(image))


def stack_pixels(pixels: Sequence[Tensor]) -> Tensor:
    """Stack pictures' pixels to (B, 3, H, W), keeping the channels innermost in memory, as backbones need them.

    `torch.stack` would move the channels outwards, and the next step would move them back: ten times the work.
    """
    return torch.stack([each.permute(1, 2, 0) for each in pixels]).permute(0, 3, 1, 2)


def content_box(image_size: tuple[int, int], input_size: InputSize, aspect: Aspect) -> Box:
    """Compute the picture's place in the rectangle of `input_size`: all of it for `squash`, centred for `pad`."""
    full_height, full_width = input_size
    if aspect == "squash":
        return Box(0, 0, full_width, full_height)
    height, width = image_size
    inner_height, inner_width = input_size
    if height * full_width >= width * full_height:
        inner_width = max(1, round(width * full_height / height))
    else:
        inner_height = max(1, round(height * full_width / width))
    return Box((full_width - inner_width) // 2, (full_height - inner_height) // 2, inner_width, inner_height)


def as_stored(size: tuple[int, int], orientation: int) -> tuple[int, int]:
    """Swap the two sides for a picture whose EXIF orientation turns it sideways: from upright to as stored, or back."""
    return (size[1], size[0]) if orientation in SIDEWAYS else size


def _to_picture(image: ImageFile.ImageFile, input_size: InputSize, aspect: Aspect, bit_depth: int) -> Picture:
    check_colour(image, bit_depth)
    stored = _load(image, input_size)
    # Read after loading, because that turns a TIFF upright and removes the tag.
    orientation = orientation_of(image)
    image_size = as_stored((stored.height, stored.width), orientation)
    box = content_box(image_size, input_size, aspect)
    inner = shrink(image, as_stored((box.width, box.height), orientation), stored.covered, bit_depth=bit_depth)
    upright = inner.transpose(UPRIGHT[orientation]) if orientation in UPRIGHT else inner
    return Picture(pixels=_filled(upright.convert("RGB"), box, input_size), image_size=image_size)


class _Stored(NamedTuple):
    """The picture as stored, before orientation: its size, and the part of the decoded pixels that it covers."""

    width: int
    height: int
    covered: tuple[float, float]


def _load(image: Image.Image, input_size: InputSize) -> _Stored:
    """Decode; a JPEG much larger than needed at a half, quarter or eighth of its size, which is far cheaper."""
    full_size = image.size
    drafted = None
    if image.format in ("JPEG", "MPO"):
        height, width = as_stored(input_size, orientation_of(image))
        if full_size[0] >= 2 * width and full_size[1] >= 2 * height:
            drafted = image.draft(None, (width, height))
    image.load()
    if drafted:
        return _Stored(*full_size, covered=drafted[1][2:])
    return _Stored(*image.size, covered=image.size)


def _filled(image: Image.Image, box: Box, input_size: InputSize) -> Tensor:
    """Repeat the picture's border outwards. Shapes: an RGB image of the box's size -> (3, H, W), channels innermost."""
    pixels = np.frombuffer(bytearray(image.tobytes()), np.uint8).reshape(box.height, box.width, 3)
    below = input_size[0] - box.top - box.height
    right = input_size[1] - box.left - box.width
    if box.top or box.left or below or right:
        pixels = np.pad(pixels, ((box.top, below), (box.left, right), (0, 0)), mode="edge")
    return torch.from_numpy(pixels).permute(2, 0, 1)
