"""Converts Pillow's pixel modes to 8 bits, strip by strip, so that no wide copy is ever as large as the picture."""

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import numpy.typing as npt
from PIL import Image

from qc_worker.domain.errors import InvalidFrame, Reason
from qc_worker.imaging.aspect import FULL_DEPTH
from qc_worker.imaging.tiff_pages import is_half_float, packed_bits

Strip = npt.NDArray[np.uint8]

STRIP_PIXELS = 1 << 18
"""Small enough for a strip and its copies to stay in a core's cache."""
_WITH_ALPHA = ("LA", "La", "PA", "RGBA", "RGBa")


def eight_bit_strips(image: Image.Image, *, row_multiple: int = 1, bit_depth: int = FULL_DEPTH) -> Iterator[Strip]:
    """Convert rows of any mode, from top to bottom, in strips of STRIP_PIXELS, rounded down to `row_multiple` rows.

    Shapes: (rows, width, 1) for grey, (rows, width, 4) for colour, whose fourth is padding or alpha. Transparent pixels
    are black: colours are multiplied by their alpha. `bit_depth` applies to grey integers of more than 8 bits.
    Raises InvalidFrame for an unknown range of values, or values beyond the bit depth.
    """
    to_eight_bits = _conversion(image, bit_depth)
    for strip in _strips(image, row_multiple):
        yield to_eight_bits(strip)


def holds_integers(image: Image.Image) -> bool:
    """Return True for grey integers of more than 8 bits, to which a line's bit depth applies."""
    return image.mode.startswith("I") and not is_half_float(image)


def highest_value(image: Image.Image) -> int:
    """Return the highest value of any channel of a loaded picture of integers."""
    # By NumPy: Pillow has no maximum of big-endian integers.
    return max(int(np.asarray(strip).max()) for strip in _strips(image, 1))


def _strips(image: Image.Image, row_multiple: int) -> Iterator[Image.Image]:
    rows = max(1, STRIP_PIXELS // image.width // row_multiple) * row_multiple
    if rows >= image.height:
        yield image
        return
    for top in range(0, image.height, rows):
        yield image.crop((0, top, image.width, min(image.height, top + rows)))


def _conversion(image: Image.Image, bit_depth: int) -> Callable[[Image.Image], Strip]:
    if image.mode == "F" or is_half_float(image):
        return _floats(image)
    if holds_integers(image):
        return partial(_integers, bits=packed_bits(image) or bit_depth)
    if image.mode in _WITH_ALPHA:
        return _over_black if _shows_anything(image) else _without_alpha
    if "transparency" in image.info:
        return _over_black
    return _grey if image.mode in ("L", "1") else _colour


def _grey(strip: Image.Image) -> Strip:
    return _pixels(strip if strip.mode == "L" else strip.convert("L"), "L")


def _colour(strip: Image.Image) -> Strip:
    # Pillow keeps four bytes a pixel; packing them to three would take longer than keeping the fourth.
    return _pixels(strip if strip.mode == "RGB" else strip.convert("RGB"), "RGBX")


def _over_black(strip: Image.Image) -> Strip:
    return _pixels(_straight(strip).convert("RGBa"), "RGBa")


def _straight(strip: Image.Image) -> Image.Image:
    """Convert to RGBA with colours that are not multiplied by alpha."""
    return (strip.convert("LA") if strip.mode == "La" else strip).convert("RGBA")


def _shows_anything(image: Image.Image) -> bool:
    """Return True if alpha is anywhere above 0; if not, the byte is unused, as OpenCV and camera SDKs leave it."""
    return any(_straight(strip).getchannel("A").getextrema()[1] for strip in _strips(image, 1))


def _without_alpha(strip: Image.Image) -> Strip:
    if strip.mode in ("La", "RGBa"):  # Pillow would divide their colours by alpha, which is 0
        strip = Image.merge("RGB" if strip.mode == "RGBa" else "L", strip.split()[:-1])
    return _colour(strip)


def _pixels(image: Image.Image, raw_mode: str) -> Strip:
    # In a bytearray: torch warns about read-only memory.
    pixels = np.frombuffer(bytearray(image.tobytes("raw", raw_mode)), np.uint8)
    return pixels.reshape(image.height, image.width, len(raw_mode))


def _integers(strip: Image.Image, bits: int) -> Strip:
    pixels, highest = np.asarray(strip), (1 << bits) - 1
    if pixels.dtype.itemsize > 2 and (pixels.min() < 0 or pixels.max() > 65_535):
        raise InvalidFrame(Reason.UNDECODABLE, "integer pixels outside of 0..65535 have no known range")
    if bits < FULL_DEPTH and (found := int(pixels.max())) > highest:
        raise InvalidFrame(
            Reason.UNDECODABLE,
            f"brightness up to {found} on a line of {bits} bits, which end at {highest}: "
            "restore the camera's settings, or retrain the line",
        )
    return _rounded(pixels, 255 / highest)


def _floats(image: Image.Image) -> Callable[[Image.Image], Strip]:
    """Choose the scale by all of the picture: only its extremes show if 0..1 or 0..255 is meant."""
    halves = is_half_float(image)

    def values(strip: Image.Image) -> npt.NDArray[np.floating]:
        pixels = np.asarray(strip)
        return pixels.astype(np.uint16).view(np.float16).astype(np.float32) if halves else pixels

    extremes = [(strip.min(), strip.max()) for strip in map(values, _strips(image, 1))]
    lowest, highest = (float(extreme) for extreme in (np.min(extremes), np.max(extremes)))
    if not (lowest >= 0 and highest <= 255):  # true also for NaN
        raise InvalidFrame(Reason.UNDECODABLE, "floating-point pixels outside of 0..255 have no known range")
    scale = 255 if highest <= 1 else 1
    return lambda strip: np.round(values(strip) * scale).astype(np.uint8)[..., None]


def _rounded(pixels: npt.NDArray[np.integer], scale: float) -> Strip:
    """Scale and round, exactly for every 16-bit value: none lies near a tie."""
    scaled = pixels * np.float32(scale)
    scaled += np.float32(0.5)
    return scaled.astype(np.uint8)[..., None]
