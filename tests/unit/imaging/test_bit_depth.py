"""Sensors of 10, 12 and 14 bits that are written into 16: the same brightness as the same picture in 8."""

import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from qc_worker.domain.errors import InvalidFrame
from qc_worker.imaging.aspect import BIT_DEPTHS
from qc_worker.imaging.bit_depth import bits_needed, depth_for
from qc_worker.imaging.opening import opened
from qc_worker.imaging.preprocessing import decode_picture
from tests.unit.simplenet.factories import LIMITS

SIDE = 32
Values = npt.NDArray[np.integer[Any]]


def ramp(bits: int, *, brightest: float = 1.0) -> Values:
    """0 to the highest value of so many bits, aligned right. Shape: (SIDE, SIDE)."""
    return np.linspace(0, ((1 << bits) - 1) * brightest, SIDE * SIDE).round().astype(np.uint16).reshape(SIDE, SIDE)


def png(values: Values, *, significant: int | None = None) -> bytes:
    target = io.BytesIO()
    Image.fromarray(values).save(target, "PNG")
    content = target.getvalue()
    if significant is None:
        return content
    chunk = b"sBIT" + bytes([significant])
    chunk = struct.pack(">I", 1) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return content[:33] + chunk + content[33:]  # behind IHDR


def tiff(values: Values, **options: Any) -> bytes:
    target = io.BytesIO()
    tifffile.imwrite(target, values, photometric="minisblack", **options)
    return target.getvalue()


def needed(content: bytes) -> int | None:
    with opened(content, LIMITS) as image:
        return bits_needed(image, content)


def shown(content: bytes, bit_depth: int) -> npt.NDArray[np.uint8]:
    picture = decode_picture(content, input_size=(SIDE, SIDE), aspect="squash", limits=LIMITS, bit_depth=bit_depth)
    return picture.pixels[0].numpy()


@pytest.mark.parametrize("write", [png, tiff, lambda values: tiff(values, byteorder=">")])
@pytest.mark.parametrize("depth", BIT_DEPTHS)
def test_every_depth_is_found_and_as_bright_as_8_bits(depth: int, write: Callable[[Values], bytes]) -> None:
    content = write(ramp(depth))
    assert depth_for(needed(content) or 0) == depth
    eight = np.asarray(Image.fromarray((ramp(depth).astype(float) / ((1 << depth) - 1) * 255).round().astype(np.uint8)))
    assert np.abs(shown(content, depth).astype(int) - eight).max() <= 1


@given(bits=st.sampled_from(BIT_DEPTHS), brightest=st.floats(0.55, 1.0))
def test_depth_holds_what_half_its_range_needs(bits: int, brightest: float) -> None:
    assert depth_for(needed(png(ramp(bits, brightest=brightest))) or 0) == bits


def test_file_may_say_that_it_has_more_bits_than_a_dark_picture_needs() -> None:
    dark = ramp(12, brightest=0.1)
    assert needed(png(dark)) == 9
    assert needed(png(dark, significant=12)) == 12
    assert needed(tiff(dark, extratags=[(281, "H", 1, 4095, False)])) == 12


def test_bits_that_are_aligned_left_need_all_16() -> None:
    """As the PNG standard has it: sBIT says how many of the upper bits are significant."""
    assert needed(png(ramp(12) << 4, significant=12)) == 16


@pytest.mark.parametrize("mode", ["L", "RGB", "F"])
def test_bit_depth_is_no_matter_of_other_pictures(mode: str) -> None:
    target = io.BytesIO()
    Image.fromarray(np.full((SIDE, SIDE), 100, np.uint8)).convert(mode).save(target, "TIFF")
    assert needed(target.getvalue()) is None
    assert (shown(target.getvalue(), 12) == 100).all()


def test_frame_that_does_not_fit_its_line_says_so() -> None:
    with pytest.raises(InvalidFrame, match="brightness up to 16383 on a line of 12 bits, which end at 4095: restore"):
        shown(png(ramp(14)), 12)


def test_twelve_bits_that_are_packed_are_twelve_on_any_line() -> None:
    """As GenICam's Mono12p is saved: two values in three bytes."""
    values = ramp(12)
    pairs = values.reshape(-1, 2).astype(np.uint32)
    packed = np.stack([pairs[:, 0] >> 4, (pairs[:, 0] & 15) << 4 | pairs[:, 1] >> 8, pairs[:, 1] & 255], axis=1)
    content = packed_tiff(packed.astype(np.uint8).tobytes())
    expected = (values.astype(float) / 4095 * 255).round()
    for depth in (16, 12, 10):
        assert np.abs(shown(content, depth) - expected).max() <= 1


def packed_tiff(strip: bytes) -> bytes:
    """A TIFF of SIDE x SIDE with 12 bits a sample; no library at hand writes one."""
    tags = [(256, SIDE), (257, SIDE), (258, 12), (259, 1), (262, 1), (273, 8 + 2 + 9 * 12 + 4), (277, 1), (278, SIDE)]
    tags.append((279, len(strip)))
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    return b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(tags)) + entries + bytes(4) + strip


def colour_png(bits: int) -> bytes:
    """16 bits a channel in three; Pillow writes none."""
    rows = b"".join(b"\0" + np.repeat(row.astype(">u2"), 3).tobytes() for row in ramp(bits))

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", SIDE, SIDE, 16, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def test_colour_is_full_or_refused_never_dark() -> None:
    assert needed(colour_png(16)) == 16
    assert shown(colour_png(16), 16).max() == 255
    with pytest.raises(InvalidFrame, match="align the camera's bits left"):
        needed(colour_png(12))
    with pytest.raises(InvalidFrame, match="on a line with 12: align the camera"):
        shown(colour_png(16), 12)
