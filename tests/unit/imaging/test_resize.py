"""The quick resize against Pillow's, which models were calibrated with."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from qc_worker.domain.errors import InvalidFrame, Reason
from qc_worker.imaging import pixel_modes
from qc_worker.imaging.pixel_modes import eight_bit_strips
from qc_worker.imaging.preprocessing import stack_pixels
from qc_worker.imaging.resize import shrink

Size = tuple[int, int]
sizes = st.tuples(st.integers(1, 400), st.integers(1, 400))
small_sizes = st.tuples(st.integers(1, 64), st.integers(1, 64))


def noise(mode: str, size: Size, seed: int = 0) -> Image.Image:
    """Worst case for a filter: every pixel on its own."""
    channels = len(Image.new(mode, (1, 1)).getbands())
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], channels), dtype=np.uint8)
    return Image.fromarray(pixels.squeeze(2) if channels == 1 else pixels, mode)


def difference(one: Image.Image, other: Image.Image) -> int:
    assert one.mode == other.mode
    return int(np.abs(np.asarray(one).astype(int) - np.asarray(other)).max())


@settings(deadline=None, max_examples=150)
@given(mode=st.sampled_from(["L", "RGB"]), size=sizes, target=small_sizes, seed=st.integers(0, 9))
def test_it_is_within_a_level_of_pillows_resize(mode: str, size: Size, target: Size, seed: int) -> None:
    image = noise(mode, size, seed)
    assert difference(shrink(image, target, size), image.resize(target, Image.Resampling.BILINEAR)) <= 1


@settings(deadline=None, max_examples=100)
@given(
    mode=st.sampled_from(["L", "RGB"]),
    size=st.tuples(st.integers(64, 400), st.integers(64, 400)),
    missing=st.tuples(st.sampled_from([0, 0.125, 0.5, 0.875]), st.sampled_from([0, 0.25, 0.5, 0.75])),
    target=st.tuples(st.integers(1, 63), st.integers(1, 63)),
)
def test_a_picture_that_ends_within_its_last_pixel_is_resized_as_pillow_does(
    mode: str, size: Size, missing: tuple[float, float], target: Size
) -> None:
    covered = (size[0] - missing[0], size[1] - missing[1])
    image = noise(mode, size)
    expected = image.resize(target, Image.Resampling.BILINEAR, box=(0, 0, *covered))
    assert difference(shrink(image, target, covered), expected) <= 1


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "P", "CMYK", "1", "I", "F", "I;16"])
def test_strips_change_nothing(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    source = noise("L" if mode.startswith("I") or mode == "F" else "RGB", (61, 47))
    image = source.convert("I").convert("I;16") if mode == "I;16" else source.convert(mode)
    whole = shrink(image, (16, 16), image.size)
    monkeypatch.setattr(pixel_modes, "STRIP_PIXELS", 61 * 8)
    assert len(list(eight_bit_strips(image, row_multiple=4))) == 6
    assert difference(shrink(image, (16, 16), image.size), whole) == 0


@pytest.mark.parametrize("value", [0, 128, 129, 385, 32_768, 65_406, 65_407, 65_408, 65_535])
@pytest.mark.parametrize("mode", ["I;16", "I;16B", "I"])
def test_sixteen_bits_are_rounded_to_the_nearest_of_eight(mode: str, value: int) -> None:
    dtype = {"I;16": "<u2", "I;16B": ">u2", "I": "<i4"}[mode]
    image = Image.fromarray(np.full((8, 8), value, np.dtype(dtype)))
    assert image.mode == mode
    assert next(eight_bit_strips(image)).flatten().tolist() == [round(value / 257)] * 64


def test_the_floating_point_range_is_told_from_all_strips(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.zeros((40, 40), np.float32)
    pixels[39, 39] = 200
    pixels[0, 0] = 1
    monkeypatch.setattr(pixel_modes, "STRIP_PIXELS", 40 * 4)
    strips = list(eight_bit_strips(Image.fromarray(pixels)))
    assert (strips[0].max(), strips[-1].max()) == (1, 200)


@pytest.mark.parametrize("row", [0, 39])
def test_what_is_no_number_is_found_in_any_strip(row: int, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.zeros((40, 40), np.float32)
    pixels[row, 7] = np.nan
    monkeypatch.setattr(pixel_modes, "STRIP_PIXELS", 40 * 4)
    with pytest.raises(InvalidFrame) as caught:
        list(eight_bit_strips(Image.fromarray(pixels)))
    assert caught.value.reason == Reason.UNDECODABLE


def test_stacked_pixels_are_the_pictures_with_the_channels_innermost() -> None:
    innermost = [torch.randint(0, 256, (5, 5, 3), dtype=torch.uint8).permute(2, 0, 1) for _ in range(4)]
    for pixels in (innermost, [each.contiguous() for each in innermost]):
        stacked = stack_pixels(pixels)
        assert torch.equal(stacked, torch.stack(pixels))
        assert stacked.is_contiguous(memory_format=torch.channels_last)
