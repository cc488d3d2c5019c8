import re

import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st

from trainer.report.outline import MAX_PATH_CHARACTERS, outline

STROKE = re.compile(r"M(\d+) (\d+)([hv])(\d+)")


def filled(path: str, height: int, width: int) -> npt.NDArray[np.bool_]:
    """Fill what the vertical strokes enclose, by the even-odd rule, row by row."""
    crossings = np.zeros((height, width + 1), dtype=int)
    for x, y, direction, length in STROKE.findall(path):
        if direction == "v":
            crossings[int(y) : int(y) + int(length), int(x)] += 1
    inside: npt.NDArray[np.bool_] = (np.cumsum(crossings, axis=1)[:, :-1] % 2).astype(bool)
    return inside


@given(height=st.integers(1, 12), width=st.integers(1, 12), share=st.floats(0, 1), seed=st.integers(0, 999))
def test_outline_encloses_the_mask_and_nothing_else(height: int, width: int, share: float, seed: int) -> None:
    mask = np.random.default_rng(seed).random((height, width)) < share
    path, size = outline(mask)
    assert size == (height, width)
    assert np.array_equal(filled(path, height, width), mask)
    sideways, _ = outline(mask.T)
    turned = re.sub(r"M(\d+) (\d+)([hv])", lambda m: f"M{m[2]} {m[1]}{'v' if m[3] == 'h' else 'h'}", sideways)
    assert sorted(STROKE.findall(turned)) == sorted(STROKE.findall(path))


def test_straight_edges_are_single_strokes() -> None:
    mask = np.zeros((9, 9), dtype=bool)
    mask[2:5, 3:7] = True
    assert sorted(STROKE.findall(outline(mask)[0])) == [
        ("3", "2", "h", "4"),
        ("3", "2", "v", "3"),
        ("3", "5", "h", "4"),
        ("7", "2", "v", "3"),
    ]


def test_a_ragged_mask_of_many_pixels_has_a_short_outline() -> None:
    noise = np.random.default_rng(0).random((1500, 900)) < 0.01
    path, (height, width) = outline(noise)
    assert len(path) <= MAX_PATH_CHARACTERS
    assert max(height, width) <= 256
    assert 0 < abs(height / width - 1500 / 900) + 1 < 1.1
