import io
import json

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from qc_worker.imaging.opening import ImageLimits
from tests.support.factories import png_bomb
from tests.unit.trainer.factories import LIMITS
from trainer.samples import region_files
from trainer.samples.region_files import as_png, marked_in

NOISE = np.random.default_rng(0).random((99, 99)) < 0.5
SQUARE = [[2, 1], [6, 1], [6, 4], [2, 4]]


def png_of(pixels: npt.NDArray[np.generic], mode: str | None = None) -> bytes:
    encoded = io.BytesIO()
    image = Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(encoded, "PNG")
    return encoded.getvalue()


def polygons(**changes: object) -> bytes:
    return json.dumps({"size": [10, 12], "polygons": [SQUARE], **changes}).encode()


@settings(deadline=None)
@given(height=st.integers(1, 40), width=st.integers(1, 40), share=st.floats(0, 1), seed=st.integers(0, 999))
def test_what_is_stored_comes_back(height: int, width: int, share: float, seed: int) -> None:
    marked = np.random.default_rng(seed).random((height, width)) < share
    assert np.array_equal(marked_in(as_png(marked), LIMITS), marked)


@pytest.mark.parametrize("kind", ["uint8", "uint16"])
def test_the_lowest_value_above_0_is_marked(kind: str) -> None:
    pixels = np.zeros((6, 8), dtype=kind)
    pixels[2, 3], pixels[4, 5] = 1, 200
    assert np.argwhere(marked_in(png_of(pixels), LIMITS)).tolist() == [[2, 3], [4, 5]]


@pytest.mark.parametrize("mode", ["RGB", "P", "RGBA", "LA"])
def test_any_colour_is_marked_and_black_is_not(mode: str) -> None:
    pixels = np.zeros((6, 8, 3), dtype=np.uint8)
    pixels[2, 3] = (0, 0, 255) if mode != "LA" else 255
    assert np.argwhere(marked_in(png_of(pixels, mode), LIMITS)).tolist() == [[2, 3]]


def test_what_is_transparent_is_not_marked() -> None:
    pixels = np.full((6, 8, 4), 255, dtype=np.uint8)
    pixels[..., 3] = 0
    pixels[1, 2, 3] = 128
    assert np.argwhere(marked_in(png_of(pixels), LIMITS)).tolist() == [[1, 2]]


def test_polygons_are_one_region_where_they_overlap() -> None:
    shifted = [[x + 2, y + 1] for x, y in SQUARE]
    expected = np.zeros((10, 12), dtype=bool)
    expected[1:5, 2:7] = expected[2:6, 4:9] = True
    assert np.array_equal(marked_in(polygons(polygons=[SQUARE, shifted]), LIMITS), expected)


def test_a_polygon_may_reach_beyond_the_picture() -> None:
    beyond = [[-5, -5.5], [400, -5.5], [400, 400], [-5, 400]]
    assert marked_in(polygons(polygons=[beyond]), LIMITS).all()


@settings(deadline=None)
@given(content=st.binary(max_size=60) | st.text(max_size=60).map(lambda text: ("{" + text).encode()))
def test_whatever_is_no_region_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        marked_in(content, LIMITS)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "neither a PNG nor JSON"),
        (b"GIF89a", "neither a PNG nor JSON"),
        (png_bomb(), "900000000 pixels"),
        (as_png(NOISE)[:-300], "truncated"),
        (polygons(polygons=[]), "polygons: .*at least 1"),
        (polygons(polygons=[SQUARE[:2]]), "polygons.0: .*at least 3"),
        (polygons(polygons=[[*SQUARE, [float("nan"), 1]]]), "polygons.0.4.0"),
        (polygons(polygons=[[*SQUARE, [1e300, 1]]]), "polygons.0.4.0"),
        (polygons(polygons=[[*SQUARE, [1, 2, 3]]]), "polygons.0.4"),
        (polygons(polygons=[SQUARE] * (region_files.MAX_POLYGONS + 1)), "polygons: .*at most"),
        (polygons(polygons=[SQUARE * region_files.MAX_POINTS]), "polygons.0: .*at most"),
        (polygons(size=[0, 10]), "size.0"),
        (polygons(size=[10, 10**9]), "size.1"),
        (polygons(size=[60_000, 60_000]), "pixels; at most"),
        (polygons(sizes=[1, 1]), "sizes: "),
        (b"{" * 10_000, "document: "),
    ],
)
def test_a_region_that_cannot_be_is_refused_by_what_is_wrong(content: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        marked_in(content, LIMITS)


def test_a_file_with_more_bytes_than_allowed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="bytes, at most 10"):
        marked_in(as_png(np.ones((9, 9), dtype=bool)), ImageLimits(max_bytes=10, max_pixels=1000))
    monkeypatch.setattr(region_files, "MAX_JSON_BYTES", 20)
    with pytest.raises(ValueError, match="bytes of JSON"):
        marked_in(polygons(), LIMITS)
