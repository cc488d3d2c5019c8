"""Finds how many bits hold the brightness of pictures that come in 16 a channel.

Sensors have 10, 12 or 14 bits, and camera SDKs store them in 16, aligned right: read as full 16 bits such a picture is
nearly black. The depth depends on the line's camera, so it is found once from the line's good frames.
"""

from PIL import Image, ImageFile

from qc_worker.domain.errors import InvalidFrame, Reason
from qc_worker.imaging.aspect import BIT_DEPTHS, FULL_DEPTH, BitDepth
from qc_worker.imaging.pixel_modes import highest_value, holds_integers
from qc_worker.imaging.tiff_pages import bits_stated, packed_bits

PNG_SIGNATURE_BYTES = 8


def holds_wide_colour(image: ImageFile.ImageFile) -> bool:
    """Return True for colour of 16 bits a channel, of which Pillow keeps the upper 8; call it before loading."""
    arguments = image.tile[0][3] if image.tile else ""
    raw_mode = arguments[0] if isinstance(arguments, tuple) else arguments
    return not image.mode.startswith("I") and ";16" in str(raw_mode)


def bits_needed(image: ImageFile.ImageFile, content: bytes) -> int | None:
    """Count the bits that a picture needs; None if no bit depth applies to it: 8 bits, floats, or packed integers.

    The count is that of its highest value, or the one that its file states if that is larger and at most 16. Raises
    InvalidFrame for colour that is aligned right, whose lower bits are lost.
    """
    if holds_wide_colour(image):
        image.load()
        _check_wide_colour(image)
        return FULL_DEPTH
    if not holds_integers(image) or packed_bits(image):
        return None
    stated = bits_stated(image) or _significant_bits(content) or 0
    image.load()
    needed = max(0, highest_value(image)).bit_length()
    return max(needed, stated) if stated <= FULL_DEPTH else needed


def depth_for(bits: int) -> BitDepth:
    """Return the smallest bit depth that holds so many bits."""
    return next((depth for depth in BIT_DEPTHS if depth >= bits), FULL_DEPTH)


def check_colour(image: ImageFile.ImageFile, bit_depth: int) -> None:
    """Refuse colour of 16 bits a channel on a line of fewer; call it before loading. Raises InvalidFrame."""
    if bit_depth != FULL_DEPTH and holds_wide_colour(image):
        detail = f"colour of 16 bits per channel on a line with {bit_depth}: align the camera's bits left"
        raise InvalidFrame(Reason.UNDECODABLE, detail)


def _check_wide_colour(image: Image.Image) -> None:
    if highest_value(image.convert("RGB")) < 1 << 6:
        raise InvalidFrame(
            Reason.UNDECODABLE,
            "colour of 16 bits per channel whose highest two are empty: align the camera's bits left",
        )


def _significant_bits(content: bytes) -> int | None:
    """Read the first channel's bits from a PNG's sBIT chunk, which precedes the pixels; None if there is none."""
    at = PNG_SIGNATURE_BYTES
    while at + 9 <= len(content):
        length, name = int.from_bytes(content[at : at + 4], "big"), content[at + 4 : at + 8]
        if name == b"sBIT":
            return content[at + 8]
        if name in (b"IDAT", b"IEND"):
            return None
        at += 12 + length
    return None
