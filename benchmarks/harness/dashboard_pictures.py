"""Draw a part with a defect and its heatmap, as they lie in the cache."""

import io

import numpy as np
from PIL import Image

HEIGHT, WIDTH = 240, 320


def defective_part() -> bytes:
    """Return a thumbnail as JPEG."""
    noise = np.random.default_rng(1).integers(96, 160, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    noise[90:130, 200:250] = 30
    return _encoded(Image.fromarray(noise), "JPEG")


def heat() -> bytes:
    """Return a heatmap as PNG."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    glow = np.exp(-((rows - 110) ** 2 + (columns - 225) ** 2) / 800)
    pixels = np.dstack([255 * glow, 64 * glow, np.zeros_like(glow)]).astype(np.uint8)
    return _encoded(Image.fromarray(pixels), "PNG")


def _encoded(image: Image.Image, kind: str) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()
