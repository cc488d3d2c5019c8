"""Pictures and decoders for tests of decoding on a device."""

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image

from qc_worker.domain.errors import InvalidFrame
from qc_worker.imaging.aspect import Aspect, InputSize
from qc_worker.imaging.on_gpu.decode_stream import DecodeStream
from qc_worker.imaging.on_gpu.nvjpeg import NvJpegDecoder, Tally, plain_jpeg_header
from qc_worker.imaging.opening import ImageLimits
from qc_worker.imaging.preprocessing import Picture, decode_picture
from tests.unit.simplenet.factories import LIMITS, encoded

CPU = torch.device("cpu")
SIZE = 64
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="nvJPEG needs a CUDA GPU, and there is none here")


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
    stream: DecodeStream | None = None,
    aspect: Aspect = "squash",
    limits: ImageLimits = LIMITS,
    input_size: InputSize = (SIZE, SIZE),
    with_nvjpeg: bool = True,
    tally: Tally = lambda *_: None,
) -> NvJpegDecoder:
    return NvJpegDecoder(
        stream=stream or DecodeStream(device),
        input_size=input_size,
        aspect=aspect,
        limits=limits,
        cpu_threads=2,
        with_nvjpeg=with_nvjpeg,
        tally=tally,
    )


def on_cpu(content: bytes, aspect: Aspect = "squash", input_size: InputSize = (SIZE, SIZE)) -> Picture:
    return decode_picture(content, input_size=input_size, aspect=aspect, limits=LIMITS)


def assert_alike(picture: Picture | InvalidFrame, expected: Picture, *, levels: float, mean: float) -> None:
    assert isinstance(picture, Picture)
    assert picture.image_size == expected.image_size
    assert picture.pixels.dtype == torch.uint8
    assert picture.pixels.shape == expected.pixels.shape
    difference = (picture.pixels.cpu().float() - expected.pixels.float()).abs()
    assert float(difference.max()) <= levels
    assert float(difference.mean()) <= mean


def without_quantisation_tables(content: bytes) -> bytes:
    """Rename the tables' markers to comments."""
    damaged = content.replace(b"\xff\xdb", b"\xff\xfe")
    assert plain_jpeg_header(damaged, LIMITS) is not None
    return damaged
