"""What comes to the door without being a frame: always InvalidFrame, never another error, never much memory."""

import struct
import zlib
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from qc_worker.domain.errors import InvalidFrame, Reason
from qc_worker.imaging.opening import FORMATS, ImageLimits
from qc_worker.imaging.preprocessing import Picture, decode_picture
from tests.unit.simplenet.factories import LIMITS, a_gradient, encoded

Image.init()
WRITABLE = sorted(Image.SAVE)
READ_BACK = [kind for kind in WRITABLE if kind in FORMATS]
STUBS = ("BUFR", "GRIB", "HDF5", "WMF")  # written only by plugins that Pillow does not have
FOREIGN = [kind for kind in WRITABLE if kind not in (*FORMATS, *STUBS, "MPO")]


def decode(content: bytes, limits: ImageLimits = LIMITS) -> Picture:
    return decode_picture(content, input_size=(32, 32), aspect="squash", limits=limits)


def reason_of(content: bytes, limits: ImageLimits = LIMITS) -> Reason:
    with pytest.raises(InvalidFrame) as caught:
        decode(content, limits)
    return caught.value.reason


def written(kind: str) -> bytes:
    """A picture in any format that Pillow writes, in the first mode that the format takes."""
    for mode in ("RGB", "RGBA", "L", "P", "1", "F"):
        try:
            return encoded(a_gradient(mode, (64, 64)), kind)
        except (OSError, ValueError, KeyError):
            continue
    raise AssertionError(f"{kind} takes none of these modes")


@pytest.mark.parametrize("kind", READ_BACK)
def test_raster_formats_are_decoded(kind: str) -> None:
    assert decode(written(kind)).image_size == (64, 64)


@pytest.mark.parametrize("kind", FOREIGN)
def test_other_formats_are_undecodable(kind: str) -> None:
    assert reason_of(written(kind)) == Reason.UNDECODABLE


def test_postscript_never_reaches_ghostscript() -> None:
    assert "EPS" in FOREIGN
    assert reason_of(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(x) run\n") == Reason.UNDECODABLE


def test_a_frame_without_bytes_is_empty() -> None:
    assert reason_of(b"") == Reason.EMPTY


def test_too_many_bytes_are_refused_unread() -> None:
    assert reason_of(b"\xff" * 101, ImageLimits(max_bytes=100, max_pixels=10)) == Reason.TOO_LARGE


@pytest.mark.parametrize("content", [b"\0", b"\0" * 15_000_000, b"hello, I am a jpg\n" * 9, b"\xff\xd8\xff", b"BM"])
def test_what_is_no_image_is_undecodable(content: bytes) -> None:
    assert reason_of(content) == Reason.UNDECODABLE


def test_a_bomb_is_refused_before_it_is_decoded() -> None:
    assert reason_of(a_png_bomb(30_000)) == Reason.TOO_MANY_PIXELS


def test_the_setting_is_the_limit_also_above_pillows_own() -> None:
    """As line-scan cameras have it; Pillow refuses 178,956,970 pixels and more."""
    limits = ImageLimits(1 << 24, 200_000_000)
    picture = decode_picture(a_png_bomb(14_000), input_size=(32, 32), aspect="squash", limits=limits)
    assert picture.image_size == (14_000, 14_000)
    assert reason_of(a_png_bomb(14_200), limits) == Reason.TOO_MANY_PIXELS


def a_png_bomb(side: int) -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes(side * (side // 8 + 1)), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.mark.parametrize("kind", READ_BACK)
def test_the_pixel_limit_holds_for_every_format(kind: str) -> None:
    assert reason_of(written(kind), ImageLimits(1 << 20, 64 * 64 - 1)) == Reason.TOO_MANY_PIXELS


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF", "AVIF"])
def test_several_frames_are_refused(kind: str) -> None:
    frames = [a_gradient().rotate(90 * n) for n in range(3)]
    content = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
    with pytest.raises(InvalidFrame, match="more than one frame"):
        decode(content)


def test_the_first_picture_of_a_phones_file_is_judged() -> None:
    first, second = Image.new("RGB", (64, 64), "white"), Image.new("RGB", (64, 64), "black")
    content = encoded(first, "MPO", save_all=True, append_images=[second])
    assert int(decode(content).pixels.min()) > 250


@pytest.mark.parametrize("peak", [256.0, -1.0, float("nan"), float("inf")])
def test_a_floating_point_range_that_cannot_be_told_is_refused(peak: float) -> None:
    pixels = np.zeros((32, 32), np.float32)
    pixels[0, 0] = peak
    assert reason_of(encoded(Image.fromarray(pixels), "TIFF")) == Reason.UNDECODABLE


@pytest.mark.parametrize("peak", [-1, 65_536])
def test_an_integer_range_that_cannot_be_told_is_refused(peak: int) -> None:
    pixels = np.zeros((32, 32), np.int32)
    pixels[0, 0] = peak
    assert reason_of(encoded(Image.fromarray(pixels), "TIFF")) == Reason.UNDECODABLE


@settings(deadline=None, max_examples=200)
@given(kind=st.sampled_from(READ_BACK), share=st.floats(0, 0.98))
def test_a_truncated_file_is_refused_or_whole(kind: str, share: float) -> None:
    """Some formats end in bytes that carry no pixels; a file cut there is still whole."""
    content = noise(kind)
    cut = content[: int(len(content) * share)]
    with suppress(InvalidFrame):
        assert decode(cut).pixels.equal(decode(content).pixels)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "BMP"])
def test_half_a_frame_is_undecodable(kind: str) -> None:
    content = noise(kind)
    assert reason_of(content[: len(content) // 2]) == Reason.UNDECODABLE


@settings(deadline=None, max_examples=300)
@given(
    kind=st.sampled_from(READ_BACK),
    flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), min_size=1, max_size=8),
    in_header=st.booleans(),
)
def test_damaged_bytes_give_a_picture_or_a_refusal(kind: str, flips: list[tuple[float, int]], in_header: bool) -> None:
    content = bytearray(noise(kind))
    reach = min(len(content), 200) if in_header else len(content)
    for where, flip in flips:
        content[int(where * reach)] ^= flip
    with suppress(InvalidFrame):
        assert decode(bytes(content)).pixels.shape == (3, 32, 32)


@settings(deadline=None, max_examples=100)
@given(
    content=st.binary(max_size=300),
    start=st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\0", b"P6"]),
)
def test_random_bytes_never_raise_anything_else(content: bytes, start: bytes) -> None:
    with suppress(InvalidFrame):
        decode(start + content)


def noise(kind: str) -> bytes:
    pixels = np.random.default_rng(3).integers(0, 256, (48, 48, 3), dtype=np.uint8)
    return encoded(Image.fromarray(pixels), kind)
