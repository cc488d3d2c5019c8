"""What is accepted looks as other decoders show it: tifffile, OpenCV's writer and imagecodecs beside Pillow.

Where a file has no one meaning, or Pillow cannot read it, it is refused with a reason: never stripes, never black.
"""

import io
import itertools
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from qc_worker.domain.errors import InvalidFrame, Reason
from qc_worker.imaging.opening import ImageLimits
from qc_worker.imaging.preprocessing import decode_picture
from tests.unit.simplenet.factories import LIMITS

HEIGHT, WIDTH = 40, 60
HIGHEST = {"u1": 255, "u2": 65_535, "f2": 1, "f4": 1, "f8": 1}
Pixels = npt.NDArray[Any]


def shown(content: bytes, limits: ImageLimits = LIMITS) -> npt.NDArray[np.uint8]:
    """(H, W, 3), at its own size."""
    picture = decode_picture(content, input_size=(HEIGHT, WIDTH), aspect="squash", limits=limits)
    return picture.pixels.permute(1, 2, 0).numpy()


def refusal_of(content: bytes) -> str:
    with pytest.raises(InvalidFrame) as refused:
        shown(content)
    assert refused.value.reason is Reason.UNDECODABLE
    return refused.value.detail


def a_picture(channels: int) -> npt.NDArray[np.float64]:
    """Every channel another ramp, 0 to 1, so that a mix-up of any kind shows. Shapes: (H, W, channels)."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    ramps = np.stack([x / WIDTH, y / HEIGHT, (x + y) / (WIDTH + HEIGHT), np.ones((HEIGHT, WIDTH))], axis=-1)
    return ramps[..., :channels]


def as_rgb(picture: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.repeat(picture, 3, axis=-1) * 255 if picture.shape[-1] == 1 else picture[..., :3] * 255


def tiff(pixels: Pixels, **options: Any) -> bytes:
    target = io.BytesIO()
    tifffile.imwrite(target, pixels, **options)
    return target.getvalue()


LAYOUTS = [
    layout
    for layout in itertools.product(
        HIGHEST, (1, 3, 4), ("contig", "separate"), (None, "lzw", "zlib", "packbits"), "<>", (None, (16, 16)), (0, 1)
    )
    if not (layout[1] == 1 and layout[2] == "separate") and not (layout[6] and layout[3] not in ("lzw", "zlib"))
]


@given(layout=st.sampled_from(LAYOUTS), white_is_zero=st.booleans())
@settings(deadline=None, max_examples=400)
def test_tiff_of_any_layout_is_as_tifffile_has_it_or_refused(
    layout: tuple[str, int, str, str | None, str, tuple[int, int] | None, int], white_is_zero: bool
) -> None:
    kind, channels, planes, compression, order, tile, predictor = layout
    picture = a_picture(channels)
    pixels = (picture * HIGHEST[kind]).astype(order + kind)
    colour = {"photometric": "rgb", "planarconfig": planes, "extrasamples": ["unassalpha"] if channels == 4 else None}
    grey = {"photometric": "miniswhite" if white_is_zero else "minisblack"}
    content = tiff(
        np.moveaxis(pixels, -1, 0) if planes == "separate" else pixels.squeeze(),
        byteorder=order,
        compression=compression,
        tile=tile,
        predictor=bool(predictor),
        **(grey if channels == 1 else colour),
    )
    expected = as_rgb(picture)
    try:
        found = shown(content)
    except InvalidFrame:
        is_plain = kind == "u1" or (kind == "u2" and planes == "contig") or (channels == 1 and kind != "u1")
        assert not is_plain or white_is_zero
        return
    inverted = white_is_zero and channels == 1
    assert np.abs(found - (255 - expected if inverted else expected)).max() <= 1.5


@pytest.mark.parametrize("kind", ["f2", "f8"])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("compression", [None, "lzw", "zlib"])
def test_floats_of_every_width_are_read(kind: str, order: str, compression: str | None) -> None:
    pixels = a_picture(1).squeeze().astype(order + kind)
    content = tiff(pixels, byteorder=order, compression=compression, photometric="minisblack")
    assert np.abs(shown(content) - as_rgb(a_picture(1))).max() <= 1


def test_planar_tiff_of_16_bits_is_refused_and_says_why() -> None:
    pixels = np.moveaxis((a_picture(3) * 65_535).astype(np.uint16), -1, 0)
    assert "save it interleaved" in refusal_of(tiff(pixels, photometric="rgb", planarconfig="separate"))


def pages(*sizes: tuple[int, int], reduced: tuple[int, ...] = ()) -> bytes:
    """A TIFF whose page of HEIGHT x WIDTH is the ramp, and all others black."""
    target = io.BytesIO()
    with tifffile.TiffWriter(target) as writer:
        for number, size in enumerate(sizes):
            ramp = (a_picture(3) * 255).astype(np.uint8)
            pixels = ramp if size == (HEIGHT, WIDTH) else np.zeros((*size, 3), np.uint8)
            writer.write(pixels, photometric="rgb", subfiletype=int(number in reduced), metadata=None)
    return target.getvalue()


@pytest.mark.parametrize(
    ("sizes", "reduced"),
    [
        (((10, 15), (HEIGHT, WIDTH)), (0,)),
        (((HEIGHT, WIDTH), (10, 15)), (1,)),
        (((10, 15), (HEIGHT, WIDTH)), ()),
        (((10, 15), (HEIGHT, WIDTH), (20, 30)), (0, 2)),
        (((80, 120), (HEIGHT, WIDTH)), (0,)),
    ],
)
def test_the_page_of_full_resolution_is_meant(sizes: tuple[tuple[int, int], ...], reduced: tuple[int, ...]) -> None:
    assert np.abs(shown(pages(*sizes, reduced=reduced)) - as_rgb(a_picture(3))).max() <= 1


def test_pages_of_one_size_are_several_frames() -> None:
    assert "more than one frame" in refusal_of(pages((HEIGHT, WIDTH), (HEIGHT, WIDTH)))
    assert "more than one frame" in refusal_of(pages((HEIGHT, WIDTH), (HEIGHT, WIDTH - 1)))


def test_a_preview_alone_is_the_picture_unless_its_picture_lies_below_it() -> None:
    assert np.abs(shown(pages((HEIGHT, WIDTH), reduced=(0,))) - as_rgb(a_picture(3))).max() <= 1
    target = io.BytesIO()
    with tifffile.TiffWriter(target) as writer:
        writer.write(np.zeros((10, 15), np.uint8), subfiletype=1, subifds=1, metadata=None)
        writer.write((a_picture(1).squeeze() * 255).astype(np.uint8), metadata=None)
    assert "previews" in refusal_of(target.getvalue())


def encoded(image: Image.Image, kind: str) -> bytes:
    target = io.BytesIO()
    image.save(target, kind, **({"lossless": True, "exact": True} if kind == "WEBP" else {}))
    return target.getvalue()


@pytest.mark.parametrize("kind", ["BMP", "PNG", "TIFF", "TGA", "WEBP", "QOI", "JPEG2000", "SGI"])
def test_an_unused_fourth_byte_is_no_transparency(kind: str) -> None:
    colour = (a_picture(3) * 255).astype(np.uint8)
    unused = np.dstack([colour, np.zeros((HEIGHT, WIDTH), np.uint8)])
    assert np.abs(shown(encoded(Image.fromarray(unused, "RGBA"), kind)).astype(int) - colour).max() <= 1


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "TGA"])
def test_unused_alpha_of_grey_is_no_transparency(kind: str) -> None:
    grey = (a_picture(1) * 255).astype(np.uint8)
    image = Image.fromarray(np.dstack([grey, np.zeros((HEIGHT, WIDTH), np.uint8)]).astype(np.uint8), "LA")
    assert np.abs(shown(encoded(image, kind)).astype(int) - grey).max() <= 1


def test_real_transparency_stays_black() -> None:
    alpha = np.full((HEIGHT, WIDTH), 0, np.uint8)
    alpha[:, WIDTH // 2 :] = 255
    seen = shown(
        encoded(Image.fromarray(np.dstack([np.full((HEIGHT, WIDTH, 3), 200, np.uint8), alpha]), "RGBA"), "PNG")
    )
    assert seen[:, : WIDTH // 2 - 2].max() == 0
    assert seen[:, WIDTH // 2 + 2 :].min() == 200


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "JPEG2000", "QOI", "BMP"])
@given(seed=st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=15)
def test_lossless_formats_are_as_imagecodecs_has_them(kind: str, seed: int) -> None:
    colour = np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    content = encoded(Image.fromarray(colour, "RGB"), kind)
    decoders = {
        "PNG": imagecodecs.png_decode,
        "WEBP": imagecodecs.webp_decode,
        "JPEG2000": imagecodecs.jpeg2k_decode,
        "QOI": imagecodecs.qoi_decode,
        "BMP": imagecodecs.bmp_decode,
    }
    assert (shown(content) == decoders[kind](content)[..., :3]).all()
