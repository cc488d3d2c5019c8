"""Batches of JPEGs on a device.

Without a GPU torchvision's CPU decoder takes nvJPEG's place: the same call, and it refuses a whole call for one frame.
"""

import pytest
import torch

from qc_worker.domain.errors import InvalidFrame, Reason
from qc_worker.imaging.aspect import Aspect, InputSize
from qc_worker.imaging.on_gpu import nvjpeg
from qc_worker.imaging.on_gpu.nvjpeg import plain_jpeg_header
from qc_worker.imaging.opening import ImageLimits
from qc_worker.imaging.preprocessing import Picture
from tests.unit.imaging.on_gpu.factories import (
    SIZE,
    a_decoder,
    a_jpeg,
    a_scene,
    assert_alike,
    needs_cuda,
    on_cpu,
    turned,
    without_quantisation_tables,
)
from tests.unit.simplenet.factories import LIMITS, a_gradient, encoded

pytestmark = pytest.mark.filterwarnings("ignore:The image decoding:DeprecationWarning")


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=needs_cuda)])
def device(request: pytest.FixtureRequest) -> torch.device:
    return torch.device(request.param)


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


def test_without_nvjpeg_the_cpu_decodes(device: torch.device) -> None:
    contents = [a_jpeg(size=(640, 480)), b"", encoded(a_scene())]
    jpeg, refused, png = a_decoder(device, with_nvjpeg=False).decode(contents)
    assert_alike(jpeg, on_cpu(contents[0]), levels=0, mean=0)
    assert isinstance(refused, InvalidFrame)
    assert refused.reason == Reason.EMPTY
    assert_alike(png, on_cpu(contents[2]), levels=0, mean=0)
    assert isinstance(jpeg, Picture)
    assert jpeg.pixels.device.type == device.type


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
