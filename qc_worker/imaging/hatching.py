"""Draws thin diagonal lines where nothing is judged; the picture stays visible between them."""

import numpy as np
import numpy.typing as npt
from PIL import Image

PERIOD_PX = 8
OPACITY = 0.5


def at_size(ignored: npt.NDArray[np.bool_], size: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Resize the mask to a picture's width and height, in Pillow's order, by nearest neighbour."""
    return np.asarray(Image.fromarray(ignored).resize(size, Image.Resampling.NEAREST))


def hatched(image: Image.Image, ignored: npt.NDArray[np.bool_]) -> Image.Image:
    """Draw the lines on an RGB image where `ignored` is true; `ignored` has the image's height and width."""
    if not ignored.any():
        return image
    height, width = ignored.shape
    phase = (np.arange(height)[:, None] + np.arange(width)) % PERIOD_PX
    pixels = np.array(image)
    # A bright line beside a dark one: one of them shows on any picture.
    for offset, shade in ((0, 255), (1, 0)):
        line = ignored & (phase == offset)
        pixels[line] = np.round((1 - OPACITY) * pixels[line] + OPACITY * shade).astype(np.uint8)
    return Image.fromarray(pixels)
