import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image, ImageOps

from qc_worker.imaging.aspect import Aspect, InputSize
from qc_worker.imaging.preprocessing import Picture, content_box, decode_picture, picture_size
from tests.unit.simplenet.factories import LIMITS, a_gradient, encoded


def decode(content: bytes, *, input_size: InputSize = (32, 32), aspect: Aspect = "squash") -> Picture:
    return decode_picture(content, input_size=input_size, aspect=aspect, limits=LIMITS)


def reference(image: Image.Image, input_size: InputSize = (32, 32)) -> torch.Tensor:
    """Plainly: convert, then resize."""
    height, width = input_size
    resized = image.convert("RGB").resize((width, height), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.array(resized)).permute(2, 0, 1)


def assert_similar(picture: Picture, expected: torch.Tensor, *, levels: int = 2) -> None:
    assert picture.pixels.dtype == torch.uint8
    assert picture.pixels.shape == expected.shape
    assert int((picture.pixels.int() - expected.int()).abs().max()) <= levels


@pytest.mark.parametrize(
    ("kind", "mode"),
    [
        ("PNG", "RGB"), ("PNG", "L"), ("PNG", "1"), ("PNG", "P"), ("PNG", "LA"), ("PNG", "RGBA"), ("PNG", "I;16"),
        ("TIFF", "CMYK"), ("TIFF", "F"), ("TIFF", "I"), ("TIFF", "YCbCr"), ("TIFF", "I;16"), ("TIFF", "I;16B"),
        ("TIFF", "LA"), ("PPM", "I"), ("JPEG", "CMYK"), ("JPEG", "L"), ("BMP", "1"), ("BMP", "RGBA"), ("GIF", "P"),
        ("TGA", "RGBA"), ("TGA", "LA"), ("WEBP", "RGBA"), ("JPEG2000", "RGB"), ("JPEG2000", "L"), ("PCX", "P"),
        ("SGI", "L"), ("QOI", "RGB"), ("AVIF", "RGB"), ("DIB", "RGB"), ("PPM", "RGB"), ("TIFF", "RGBA"),
    ],
)  # fmt: skip
def test_every_mode_of_every_format_arrives_as_rgb(kind: str, mode: str) -> None:
    source = a_gradient("1" if mode == "1" else "L", (96, 64))
    if mode.startswith("I"):
        wide = np.asarray(source).astype(np.int32 if mode == "I" else np.uint16) * 257
        stored = Image.fromarray(wide) if mode != "I;16B" else Image.fromarray(wide.astype(">u2"))
        assert stored.mode == mode
    elif mode in ("CMYK", "YCbCr"):
        stored = source.convert("RGB").convert(mode)
    else:
        stored = source.convert(mode)
    lossless = kind not in ("JPEG", "WEBP", "AVIF")
    picture = decode(encoded(stored, kind))
    assert picture.image_size == (64, 96)
    assert_similar(picture, reference(source), levels=4 if lossless else 24)


@pytest.mark.parametrize(("peak", "scale"), [(1.0, 255.0), (255.0, 1.0)])
def test_floating_point_is_read_as_0_to_1_or_0_to_255(peak: float, scale: float) -> None:
    pixels = np.linspace(0, peak, 64 * 64, dtype=np.float32).reshape(64, 64)
    expected = Image.fromarray(np.round(pixels * scale).astype(np.uint8))
    assert_similar(decode(encoded(Image.fromarray(pixels), "TIFF")), reference(expected))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_transparent_arrives_black(mode: str) -> None:
    image = Image.new("RGBA", (64, 64), (255, 255, 255, 255))
    image.paste((255, 255, 255, 0), (0, 0, 32, 64))
    content = encoded(image.convert(mode)) if mode != "P" else encoded(image.quantize(4))
    pixels = decode(content, input_size=(16, 16)).pixels
    assert int(pixels[:, :, :7].max()) == 0
    assert int(pixels[:, :, 9:].min()) == 255


def test_a_png_with_a_transparent_colour_has_it_black() -> None:
    image = Image.new("RGB", (64, 64), (10, 200, 30))
    assert int(decode(encoded(image, transparency=(10, 200, 30))).pixels.max()) == 0


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP", "MPO"])
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("input_size", [(32, 32), (24, 40)])
def test_exif_orientation_is_honoured(input_size: InputSize, orientation: int, kind: str) -> None:
    source = a_gradient(size=(96, 64))
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    # Pillow's own way, on the whole image, is the reference.
    tagged = source.copy()
    tagged.getexif()[ExifTags.Base.Orientation] = orientation
    upright = ImageOps.exif_transpose(tagged)
    options = (
        {"quality": 95, "exif": exif} if kind != "TIFF" else {"tiffinfo": {ExifTags.Base.Orientation: orientation}}
    )
    content = encoded(source, kind, **options)
    picture = decode(content, input_size=input_size)
    assert picture.image_size == (upright.height, upright.width) == picture_size(content, LIMITS)
    assert_similar(picture, reference(upright, input_size), levels=8)


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("aspect", ["squash", "pad"])
@pytest.mark.parametrize("size", [(640, 480), (517, 1033), (128, 128), (127, 900)])
@pytest.mark.parametrize("input_size", [(64, 64), (48, 96), (200, 32)])
def test_a_jpeg_decoded_at_a_fraction_looks_as_if_decoded_whole(
    size: tuple[int, int], input_size: InputSize, aspect: Aspect, orientation: int
) -> None:
    source = a_gradient("L", size)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    drafted = decode(encoded(source, "JPEG", quality=95, exif=exif), input_size=input_size, aspect=aspect)
    whole = decode(encoded(source, "PNG", exif=exif), input_size=input_size, aspect=aspect)
    assert drafted.image_size == whole.image_size
    assert_similar(drafted, whole.pixels, levels=4)


@settings(deadline=None, max_examples=60)
@given(
    height=st.integers(1, 300),
    width=st.integers(1, 300),
    input_size=st.tuples(st.integers(1, 64), st.integers(1, 64)),
)
def test_padding_keeps_the_aspect_ratio_and_centres(height: int, width: int, input_size: InputSize) -> None:
    box = content_box((height, width), input_size, "pad")
    scale = min(input_size[0] / height, input_size[1] / width)
    assert box.height == input_size[0] or box.width == input_size[1]
    assert abs(box.width - width * scale) <= 1
    assert abs(box.height - height * scale) <= 1
    assert abs(2 * box.left + box.width - input_size[1]) <= 1
    assert abs(2 * box.top + box.height - input_size[0]) <= 1


def test_padding_repeats_the_border() -> None:
    pixels = decode(encoded(a_gradient(size=(100, 50))), aspect="pad").pixels
    assert torch.equal(pixels[:, 0], pixels[:, 8])
    assert torch.equal(pixels[:, 31], pixels[:, 23])


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1), (2, 3)])
@pytest.mark.parametrize("aspect", ["squash", "pad"])
@pytest.mark.parametrize("input_size", [(32, 32), (32, 50), (50, 32)])
def test_odd_sizes_come_to_the_input_size(size: tuple[int, int], input_size: InputSize, aspect: Aspect) -> None:
    picture = decode(encoded(a_gradient(size=size)), input_size=input_size, aspect=aspect)
    assert picture.pixels.shape == (3, *input_size)
    assert picture.image_size == (size[1], size[0])


def test_many_threads_decode_as_one_does() -> None:
    contents = [encoded(a_gradient(size=(300 + n, 200)), kind) for n in range(8) for kind in ("JPEG", "PNG", "WEBP")]
    alone = [decode(content).pixels for content in contents]
    with ThreadPoolExecutor(8) as pool:
        together = [picture.pixels for picture in pool.map(decode, contents * 3)]
    assert all(torch.equal(one, other) for one, other in zip(alone * 3, together, strict=True))


def test_a_good_frame_gives_no_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        decode(encoded(a_gradient(), "JPEG"))
