"""Pillow's pixel modes on their way to 8-bit RGB."""

import numpy as np
import numpy.typing as npt
from PIL import Image

from qc_worker.domain.errors import InvalidFrame, Reason

# Pillow weights colours by their alpha when it resizes these, so alpha may wait until the picture is small.
_DIRECT = ("L", "LA", "RGB", "RGBA")
_WITH_ALPHA = ("La", "PA", "RGBa")
# A table is the cheapest way down from 16 bits: one byte per pixel, no wide intermediate.
_SIXTEEN_TO_EIGHT = np.round(np.arange(65_536) * (255 / 65_535)).astype(np.uint8)


def to_eight_bits(image: Image.Image) -> Image.Image:
    """Any mode to L, LA, RGB or RGBA. Raises InvalidFrame for a range that cannot be told."""
    if image.mode.startswith("I"):
        return Image.fromarray(_integers(np.asarray(image)))
    if image.mode == "F":
        return Image.fromarray(_floats(np.asarray(image)))
    if image.mode in _WITH_ALPHA or "transparency" in image.info:
        return _with_alpha(image)
    if image.mode in _DIRECT:
        return image
    return image.convert("L" if image.mode == "1" else "RGB")


def flatten(image: Image.Image) -> Image.Image:
    """L, LA, RGB or RGBA to RGB; what is transparent becomes black."""
    if not image.mode.endswith("A"):
        return image.convert("RGB")
    black = Image.new("RGBA", image.size, (0, 0, 0, 255))
    return Image.alpha_composite(black, image.convert("RGBA")).convert("RGB")


def _with_alpha(image: Image.Image) -> Image.Image:
    if image.mode == "La":
        return image.convert("LA").convert("RGBA")
    return image.convert("RGBA")


def _integers(pixels: npt.NDArray[np.integer]) -> npt.NDArray[np.uint8]:
    if pixels.min() < 0 or pixels.max() > 65_535:
        raise InvalidFrame(Reason.UNDECODABLE, "integer pixels outside of 0..65535 have no known range")
    eight: npt.NDArray[np.uint8] = _SIXTEEN_TO_EIGHT[pixels]
    return eight


def _floats(pixels: npt.NDArray[np.floating]) -> npt.NDArray[np.uint8]:
    lowest, highest = float(pixels.min()), float(pixels.max())
    if not (lowest >= 0 and highest <= 255):  # also when they are not numbers
        raise InvalidFrame(Reason.UNDECODABLE, "floating-point pixels outside of 0..255 have no known range")
    return np.round(pixels * (255 if highest <= 1 else 1)).astype(np.uint8)
