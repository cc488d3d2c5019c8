"""Corrects how Pillow reads TIFF files: which page is meant, floats of 16 and 64 bits, layouts that it misreads."""

import numpy as np
from PIL import Image, ImageFile, TiffImagePlugin

from qc_worker.domain.errors import InvalidFrame, Reason

NEW_SUBFILE_TYPE, SUBFILE_TYPE, PLANAR_CONFIGURATION, SAMPLE_FORMAT = 254, 255, 284, 339
BITS_PER_SAMPLE, PHOTOMETRIC, SUB_IFDS = 258, 262, 330
MAX_SAMPLE_VALUE, S_MAX_SAMPLE_VALUE = 281, 341
FLOATING = 3
SEPARATE_PLANES = 2
WHITE_IS_ZERO = 0
MAX_PAGES = 256
PREVIEW_SHARE = 0.25
"""A page of at most this share of the largest one's pixels counts as a preview, even if it is not marked as one."""

# Pillow supports floats of 32 bits only. It can unpack those of 64; those of 16 are read as integers of the same bytes.
for _order, _wide, _narrow in ((b"II", "F;64F", "I;16"), (b"MM", "F;64BF", "I;16B")):
    TiffImagePlugin.OPEN_INFO.setdefault((_order, 1, (FLOATING,), 1, (64,), ()), ("F", _wide))
    TiffImagePlugin.OPEN_INFO.setdefault((_order, 1, (FLOATING,), 1, (16,), ()), (_narrow, _narrow))


def is_half_float(image: Image.Image) -> bool:
    """Return True if the image's 16-bit integers are floating-point numbers of 16 bits."""
    return _tag(image, SAMPLE_FORMAT) == FLOATING and image.mode.startswith("I;16")


def packed_bits(image: Image.Image) -> int | None:
    """Return the bits of integers that a TIFF packs closer than in 16; None if it does not."""
    bits = _bits(image) if image.format == "TIFF" else 16
    return bits if 8 < bits < 16 else None


def bits_stated(image: Image.Image) -> int | None:
    """Return the bits that a TIFF states for its integers; None if it is no TIFF or states nothing usable."""
    if image.format != "TIFF" or _tag(image, SAMPLE_FORMAT) == FLOATING:
        return None
    stated = max(_tag(image, MAX_SAMPLE_VALUE) or 0, _tag(image, S_MAX_SAMPLE_VALUE) or 0)
    return int(stated).bit_length() if stated > 0 else None


def select_page(image: ImageFile.ImageFile) -> None:
    """Go to the page of full resolution. Raises InvalidFrame if that is ambiguous or has an unsupported layout."""
    pages = _pages(image)
    full = [page for page in pages if not page.is_reduced] or pages
    if full is pages and SUB_IFDS in _tags(image):
        raise InvalidFrame(Reason.UNDECODABLE, "this TIFF's pages are previews: save its picture as the first page")
    largest = max(full, key=lambda page: page.pixels)
    others = [page for page in full if page is not largest and page.pixels > PREVIEW_SHARE * largest.pixels]
    if others:
        raise InvalidFrame(
            Reason.UNDECODABLE, f"more than one frame in this TIFF: {1 + len(others)} pages of that size"
        )
    if len(pages) > 1:
        image.seek(largest.number)
    _check_layout(image)
    _mend_float_order(image)


class _Page:
    """Number and size of a page, and True in `is_reduced` if it is marked as a preview or a mask."""

    def __init__(self, number: int, image: Image.Image) -> None:
        self.number = number
        self.pixels = image.width * image.height
        self.is_reduced = bool(int(_tag(image, NEW_SUBFILE_TYPE) or 0) & 0b101) or _tag(image, SUBFILE_TYPE) == 2


def _pages(image: ImageFile.ImageFile) -> list[_Page]:
    count = getattr(image, "n_frames", 1)
    if count > MAX_PAGES:
        raise InvalidFrame(Reason.UNDECODABLE, f"more than one frame in this TIFF: {count} pages")
    pages = []
    for number in range(count):
        if count > 1:
            image.seek(number)
        pages.append(_Page(number, image))
    return pages


def _check_layout(image: ImageFile.ImageFile) -> None:
    """Refuse layouts that Pillow would decode to another picture than other programs show."""
    is_wide = image.mode in ("F", "I") or image.mode.startswith("I;16")
    if _tag(image, PHOTOMETRIC) == WHITE_IS_ZERO and is_wide:
        raise InvalidFrame(
            Reason.UNDECODABLE, "a TIFF of more than 8 bits in which white is 0: save it with black as 0"
        )
    planes = _tag(image, PLANAR_CONFIGURATION) == SEPARATE_PLANES
    if planes and not is_wide and _bits(image) > 8 and image.tile[0][0] != "libtiff":
        raise InvalidFrame(Reason.UNDECODABLE, f"a planar TIFF of {_bits(image)} bits a channel: save it interleaved")


def _mend_float_order(image: ImageFile.ImageFile) -> None:
    """Read libtiff's floats in this machine's byte order: libtiff has converted them, but Pillow does not know."""
    native = {"F;32BF": "F;32NF", "F;64BF": "F;64NF", "F;64F": "F;64NF"}
    for index, tile in enumerate(image.tile):
        arguments = tile[3]
        if tile[0] == "libtiff" and isinstance(arguments, tuple) and arguments[0] in native:
            image.tile[index] = tile._replace(args=(native[arguments[0]], *arguments[1:]))


def _bits(image: Image.Image) -> int:
    return int(_tag(image, BITS_PER_SAMPLE) or 1)


def _tags(image: Image.Image) -> TiffImagePlugin.ImageFileDirectory_v2 | dict[int, object]:
    return getattr(image, "tag_v2", {})


def _tag(image: Image.Image, tag: int) -> float | None:
    value = _tags(image).get(tag)
    if isinstance(value, tuple):
        value = max(value, default=None)
    return float(value) if isinstance(value, int | float | np.number) else None
