"""Batches of JPEGs on a device.

Without a GPU torchvision's CPU decoder takes nvJPEG's place: the same call, and it refuses a whole call for one frame.
"""

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image

from qc_worker.domain.errors import InvalidFrame, Reason
from qc_worker.imaging import nvjpeg
from qc_worker.imaging.aspect import Aspect, InputSize
from qc_worker.imaging.nvjpeg import NvJpegDecoder, plain_jpeg_header
from qc_worker.imaging.preprocessing import ImageLimits, Picture, decode_picture
from tests.unit.simplenet.factories import LIMITS, a_gradient, encoded

CPU = torch.device("cpu")
SIZE = 64
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="nvJPEG needs a CUDA GPU, and there is none here")
pytestmark = pytest.mark.filterwarnings("ignore:The image decoding:DeprecationWarning")


def a_scene(mode: str = "RGB", size: tuple[int, int] = (300, 200), seed: int = 0) -> Image.Image:
    """Smooth colours, an edge, grain."""
    generator = np.random.default_rng(seed)
    coarse = Image.fromarray(generator.integers(40, 216, (6, 9, 3), dtype=np.uint8))
    pixels = np.asarray(coarse.resize(size, Image.Resampling.BICUBIC)).astype(np.float32)
    pixels[size[1] // 3 : size[1] // 2, size[0] // 4 : size[0] // 2] += 40
    pixels += generator.normal(0, 3, (size[1], size[0], 1))
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).convert(mode)


def a_jpeg(mode: str = "RGB", size: tuple[int, int] = (300, 200), seed: int = 0, **options: object) -> bytes:
    return encoded(a_scene(mode, size, seed), "JPEG", **{"quality": 90, **options})


def turned(orientation: int, size: tuple[int, int] = (300, 200)) -> bytes:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    return a_jpeg(size=size, exif=exif)


def a_decoder(
    device: torch.device = CPU,
    *,
    aspect: Aspect = "squash",
    limits: ImageLimits = LIMITS,
    input_size: InputSize = (SIZE, SIZE),
) -> NvJpegDecoder:
    return NvJpegDecoder(input_size=input_size, aspect=aspect, limits=limits, device=device, cpu_threads=2)


def on_cpu(content: bytes, aspect: Aspect = "squash", input_size: InputSize = (SIZE, SIZE)) -> Picture:
    return decode_picture(content, input_size=input_size, aspect=aspect, limits=LIMITS)


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=needs_cuda)])
def device(request: pytest.FixtureRequest) -> torch.device:
    return torch.device(request.param)


def assert_alike(picture: Picture | InvalidFrame, expected: Picture, *, levels: float, mean: float) -> None:
    assert isinstance(picture, Picture)
    assert picture.image_size == expected.image_size
    assert picture.pixels.dtype == torch.uint8
    assert picture.pixels.shape == expected.pixels.shape
    difference = (picture.pixels.cpu().float() - expected.pixels.float()).abs()
    assert float(difference.max()) <= levels
    assert float(difference.mean()) <= mean


@pytest.mark.parametrize("aspect", ["squash", "pad"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("size", [(100, 90), (127, 60), (40, 30), (33, 500)])
def test_a_jpeg_that_the_cpu_decodes_whole_is_the_same_within_rounding(
    size: tuple[int, int], mode: str, aspect: Aspect, device: torch.device
) -> None:
    content = a_jpeg(mode, size, subsampling=0) if mode == "RGB" else a_jpeg(mode, size)
    # nvJPEG's inverse transform rounds differently from libjpeg's.
    levels, mean = (2, 0.1) if device.type == "cpu" else (3, 0.6)
    [picture] = a_decoder(device, aspect=aspect).decode([content])
    assert_alike(picture, on_cpu(content, aspect), levels=levels, mean=mean)


@pytest.mark.parametrize("aspect", ["squash", "pad"])
@pytest.mark.parametrize("size", [(300, 200), (517, 1033), (640, 480), (900, 601), (128, 700)])
def test_a_jpeg_that_the_cpu_decodes_at_a_fraction_is_close(
    size: tuple[int, int], aspect: Aspect, device: torch.device
) -> None:
    content = a_jpeg(size=size)
    [picture] = a_decoder(device, aspect=aspect).decode([content])
    assert_alike(picture, on_cpu(content, aspect), levels=8, mean=0.7)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("aspect", ["squash", "pad"])
@pytest.mark.parametrize("input_size", [(SIZE, SIZE), (40, 90), (150, 32)])
def test_orientation_is_that_of_the_cpu(
    orientation: int, aspect: Aspect, input_size: InputSize, device: torch.device
) -> None:
    content = turned(orientation)
    [picture] = a_decoder(device, aspect=aspect, input_size=input_size).decode([content])
    assert_alike(picture, on_cpu(content, aspect, input_size), levels=8, mean=0.7)


def test_a_mixed_batch_keeps_its_order(device: torch.device) -> None:
    contents = [
        a_jpeg(seed=1), encoded(a_scene(seed=2)), a_jpeg("L", seed=3), a_jpeg("CMYK", seed=4), b"no image", b"",
        a_jpeg(seed=5)[:3000], a_jpeg(progressive=True, seed=6), encoded(a_scene("I;16"), "TIFF"), turned(6),
    ]  # fmt: skip
    results = a_decoder(device).decode(contents)
    assert [isinstance(each, Picture) for each in results] == [
        True, True, True, True, False, False, False, True, True, True,
    ]  # fmt: skip
    for content, picture in zip(contents, results, strict=True):
        if isinstance(picture, Picture):
            assert picture.pixels.device.type == device.type
            assert_alike(picture, on_cpu(content), levels=8, mean=0.7)


def test_an_empty_batch_is_empty(device: torch.device) -> None:
    assert a_decoder(device).decode([]) == []


@pytest.mark.parametrize("count", [1, 2, 5, 8])
def test_a_jpeg_that_is_refused_fails_no_other(count: int, device: torch.device) -> None:
    """Whole by its header and its end, but its tables are gone."""
    good = [a_jpeg(seed=seed) for seed in range(count)]
    for place in range(count + 1):
        results = a_decoder(device).decode([*good[:place], without_quantisation_tables(a_jpeg()), *good[place:]])
        refused = results.pop(place)
        assert isinstance(refused, InvalidFrame)
        assert refused.reason == Reason.UNDECODABLE
        assert all(isinstance(each, Picture) for each in results)


def without_quantisation_tables(content: bytes) -> bytes:
    """Rename the tables' markers to comments."""
    damaged = content.replace(b"\xff\xdb", b"\xff\xfe")
    assert plain_jpeg_header(damaged, LIMITS) is not None
    return damaged


def test_calls_are_bounded_in_pixels(device: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvjpeg, "CALL_PIXELS", 2 * 300 * 200)
    contents = [a_jpeg(seed=seed) for seed in range(5)]
    for content, picture in zip(contents, a_decoder(device).decode(contents), strict=True):
        assert_alike(picture, on_cpu(content), levels=8, mean=0.7)


@pytest.mark.parametrize(
    ("limits", "reason"),
    [(ImageLimits(100, 10**6), Reason.TOO_LARGE), (ImageLimits(1 << 20, 59_999), Reason.TOO_MANY_PIXELS)],
)
def test_limits_hold_before_anything_is_decoded(limits: ImageLimits, reason: Reason, device: torch.device) -> None:
    content = a_jpeg()
    assert plain_jpeg_header(content, limits) is None
    [refused] = a_decoder(device, limits=limits).decode([content])
    assert isinstance(refused, InvalidFrame)
    assert refused.reason == reason


@pytest.mark.parametrize("orientation", [1, 6])
def test_the_header_says_size_as_stored_and_orientation(orientation: int) -> None:
    header = plain_jpeg_header(turned(orientation), LIMITS)
    assert header is not None
    assert (header.width, header.height, header.orientation) == (300, 200, orientation)


@pytest.mark.parametrize("content", [
    encoded(a_gradient(), "PNG"),
    encoded(a_gradient("CMYK"), "JPEG"),
    encoded(a_gradient(), "JPEG", keep_rgb=True),
    encoded(a_gradient(), "MPO", save_all=True, append_images=[a_gradient()]),
    a_jpeg()[:-2],
    a_jpeg()[:-2] + b"\0\0",
    a_jpeg()[:300] + b"\xff\xd9",
    b"\xff\xd8\xff\xd9",
    b"",
])  # fmt: skip
def test_what_is_not_a_plain_and_complete_jpeg_is_left_to_the_cpu(content: bytes) -> None:
    assert plain_jpeg_header(content, LIMITS) is None


def test_without_cuda_the_cpu_decodes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    contents = [a_jpeg(size=(640, 480)), b"", encoded(a_scene())]
    jpeg, refused, png = a_decoder(torch.device("cuda")).decode(contents)
    assert_alike(jpeg, on_cpu(contents[0]), levels=0, mean=0)
    assert isinstance(refused, InvalidFrame)
    assert refused.reason == Reason.EMPTY
    assert_alike(png, on_cpu(contents[2]), levels=0, mean=0)


@needs_cuda
def test_a_batch_that_the_gpu_has_no_memory_for_is_decoded_all_the_same() -> None:
    cuda = torch.device("cuda")
    contents = [a_jpeg(size=(2000, 1500), seed=seed) for seed in range(3)]
    free_bytes, total_bytes = torch.cuda.mem_get_info()
    torch.cuda.set_per_process_memory_fraction(64e6 / total_bytes)
    try:
        results = a_decoder(cuda).decode(contents)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert free_bytes > 64e6
    assert all(isinstance(each, Picture) for each in results)


@needs_cuda
def test_memory_that_queued_kernels_still_read_is_not_decoded_into() -> None:
    decoder, content, shape = a_decoder(torch.device("cuda")), a_jpeg(size=(2000, 1500)), (3, 1500, 2000)
    decoder.decode([content])  # the decoder is made, and leaves memory of a picture's size behind
    earlier = torch.full(shape, 7, dtype=torch.uint8, device="cuda")
    target = torch.empty(shape, dtype=torch.uint8, device="cuda")
    torch.cuda.synchronize()
    torch.cuda._sleep(1_000_000_000)  # type: ignore[no-untyped-call]  # torch leaves it out
    target.copy_(earlier)
    del earlier  # its memory is the first that fits the next picture
    decoder.decode([content])
    assert bool((target == 7).all())
