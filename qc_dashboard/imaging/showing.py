"""Decode pictures of cameras for eyes: upright, 8 bits, no larger than wanted, and nothing but pixels."""

import numpy as np
from PIL import Image, ImageFile

from qc_worker.domain.errors import InvalidFrame
from qc_worker.imaging.aspect import FULL_DEPTH
from qc_worker.imaging.bit_depth import bits_needed, depth_for
from qc_worker.imaging.opening import UPRIGHT, orientation_of
from qc_worker.imaging.pixel_modes import eight_bit_strips


def upright_rgb(image: ImageFile.ImageFile, content: bytes, *, longest_side_px: int) -> Image.Image:
    """Decode an opened picture to 8-bit RGB, upright, with sides of at most `longest_side_px`: no metadata."""
    side = longest_side_px
    if image.format in ("JPEG", "MPO"):
        image.draft(None, (side, side))  # large ones at a half, quarter or eighth of their size: far cheaper
    depth = _depth(image, content)
    image.load()
    strips = list(eight_bit_strips(image, bit_depth=depth))
    pixels = np.concatenate(strips)
    mode = "L" if pixels.shape[-1] == 1 else "RGBX"
    raw = np.ascontiguousarray(pixels[..., 0] if mode == "L" else pixels)
    whole = Image.frombuffer(mode, (pixels.shape[1], pixels.shape[0]), raw, "raw", mode, 0, 1).convert("RGB")
    whole.thumbnail((side, side), Image.Resampling.BILINEAR)
    orientation = orientation_of(image)
    return whole.transpose(UPRIGHT[orientation]) if orientation in UPRIGHT else whole


def _depth(image: ImageFile.ImageFile, content: bytes) -> int:
    """Find out how many bits hold the brightness of this very picture: the line's depth is not known here."""
    try:
        bits = bits_needed(image, content)
    except InvalidFrame:  # colour that is aligned right; it is shown as dark as it is
        return FULL_DEPTH
    return FULL_DEPTH if bits is None else depth_for(bits)
