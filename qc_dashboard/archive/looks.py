"""Describe how a frame looks in a few bytes, so that frames which look alike are found among thousands.

A look is the picture at 16 x 16 pixels of brightness and 4 x 4 of each colour difference, each the mean of what lies
under it. Two looks are compared by the squared difference of their pixels, after the mean brightness is taken off.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from qc_dashboard.imaging.showing import upright_rgb
from qc_worker.domain.errors import InvalidFrame
from qc_worker.imaging.opening import ImageLimits, opened

SIDE, COLOUR_SIDE = 16, 4
LOOK_BYTES = SIDE * SIDE + 2 * COLOUR_SIDE * COLOUR_SIDE
DECODED_SIDE_PX = 128
COLOUR_WEIGHT = 4.0
"""Weight of a colour's pixel: it stands for sixteen of brightness, and differs less."""


@dataclass(frozen=True, slots=True)
class FrameLook:
    """The look of a frame, and what frames with which it is compared have in common with it."""

    line: str
    camera: str | None
    taken_us: int
    look: bytes


def look_of(content: bytes, limits: ImageLimits) -> bytes | None:
    """Describe a picture; None if it cannot be decoded within the limits."""
    try:
        with opened(content, limits) as image:
            small = upright_rgb(image, content, longest_side_px=DECODED_SIDE_PX)
    except InvalidFrame:
        return None
    brightness, *colours = small.convert("YCbCr").split()
    bands = [(brightness, SIDE), *((colour, COLOUR_SIDE) for colour in colours)]
    return b"".join(band.resize((side, side), Image.Resampling.BOX).tobytes() for band, side in bands)


def distances(look: bytes, others: Sequence[bytes]) -> "np.ndarray[tuple[int], np.dtype[np.float32]]":
    """Return the distance of each of the other looks: 0 for the same picture at any brightness."""
    rows = np.frombuffer(b"".join([look, *others]), np.uint8).reshape(-1, LOOK_BYTES).astype(np.float32)
    brightness, colours = rows[:, : SIDE * SIDE], rows[:, SIDE * SIDE :]
    brightness -= brightness.mean(axis=1, keepdims=True)
    squares = ((brightness[1:] - brightness[0]) ** 2).sum(axis=1)
    squares += COLOUR_WEIGHT * ((colours[1:] - colours[0]) ** 2).sum(axis=1)
    found: np.ndarray[tuple[int], np.dtype[np.float32]] = np.sqrt(squares / LOOK_BYTES)
    return found
