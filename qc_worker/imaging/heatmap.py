"""Renders the anomaly map as a picture for people."""

import io
from functools import cache

import numpy as np
import numpy.typing as npt
from PIL import Image

from qc_worker.imaging.aspect import Aspect
from qc_worker.imaging.defects import without_padding
from qc_worker.imaging.hatching import at_size, hatched
from qc_worker.imaging.preprocessing import Picture, content_box

LONGEST_SIDE_PX = 512
THUMBNAIL_QUALITY = 80
SMALLEST_SPAN = 1e-3
"""Least distance from no heat to the threshold, for frames that lie over it as a whole."""
MAX_OPACITY = 0.65

# Polynomials of the Turbo colour map: Mikhailov, "Turbo, an improved rainbow colormap", Google AI blog, 2019.
_TURBO = np.array(
    [
        [0.13572138, 4.61539260, -42.66032258, 132.13108234, -152.94239396, 59.28637943],
        [0.09140261, 2.19418839, 4.84296658, -14.18503333, 4.27729857, 2.82956604],
        [0.10667330, 12.64194608, -60.58204836, 110.36276771, -89.90310912, 27.34824973],
    ]
)


def render_heatmap(
    picture: Picture, anomaly_map: npt.NDArray[np.float32], threshold: float, aspect: Aspect
) -> tuple[bytes, bytes]:
    """Encode the heatmap over the frame (PNG) and the frame itself (JPEG), in the original's aspect ratio.

    Green is the threshold on every frame; dark red is the frame's own peak if that is over the threshold. Pixels at or
    below the frame's median score stay as they are. Where nothing is judged, lines are drawn instead.
    Shapes: `anomaly_map` (H, W), minus infinity where nothing is judged.
    """
    heatmap, frame = heatmap_and_frame(picture, anomaly_map, threshold, aspect)
    # Level 1, the fastest: frames wait while the worker renders, and the cache drops entries soon.
    return _encode(heatmap, "PNG", compress_level=1), _encode(frame, "JPEG", quality=THUMBNAIL_QUALITY)


def heatmap_and_frame(
    picture: Picture,
    anomaly_map: npt.NDArray[np.float32],
    threshold: float,
    aspect: Aspect,
    longest_side_px: int = LONGEST_SIDE_PX,
) -> tuple[Image.Image, Image.Image]:
    """Render heatmap and frame, as `render_heatmap` encodes them, with sides of at most `longest_side_px`."""
    size = _shown_size(picture.image_size, longest_side_px)
    frame = _frame(picture, aspect).resize(size, Image.Resampling.BILINEAR)
    scores = without_padding(anomaly_map, picture.image_size, aspect)
    ignored = np.isneginf(scores)
    usual = float(np.median(scores[~ignored])) if not ignored.all() else threshold
    # Ignored pixels get the least heat: minus infinity cannot be averaged.
    shown = Image.fromarray(np.where(ignored, np.float32(usual), scores))
    span = max(SMALLEST_SPAN, threshold - usual)
    heat = _heat(np.asarray(shown.resize(size, Image.Resampling.BILINEAR)), threshold, span)
    heat[at_size(ignored, size)] = 0
    opacity = Image.fromarray(np.round(heat * MAX_OPACITY).astype(np.uint8))
    heatmap = Image.composite(Image.fromarray(_colours()[heat]), frame, opacity)
    return hatched(heatmap, at_size(ignored, size)), frame


def turbo(values: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """Map values in 0..1 to RGB in 0..1. Shapes: (...) -> (..., 3)."""
    powers = values[..., None] ** np.arange(6, dtype=values.dtype)
    colours: npt.NDArray[np.floating] = np.clip(powers @ _TURBO.T.astype(values.dtype), 0, 1)
    return colours


def _heat(scores: npt.NDArray[np.float32], threshold: float, span: float) -> npt.NDArray[np.uint8]:
    """Convert scores to heat: 0 a span below the threshold, 128 at it, 255 at the peak or, if higher, a span above.

    Scores may be negative, so a ratio to the threshold would not work. Scaled by the peak; otherwise the neighbourhood
    of a strong defect would be as red as the defect.
    """
    over = scores - threshold
    span_above = max(span, float(over.max()))
    heat = np.clip(0.5 + np.where(over < 0, over / (2 * span), over / (2 * span_above)), 0, 1)
    return np.round(heat * 255).astype(np.uint8)


@cache
def _colours() -> npt.NDArray[np.uint8]:
    """Compute RGB for each of 256 heats, (256, 3)."""
    return np.round(turbo(np.linspace(0, 1, 256)) * 255).astype(np.uint8)


def _frame(picture: Picture, aspect: Aspect) -> Image.Image:
    height, width = picture.pixels.shape[1:]
    box = content_box(picture.image_size, (height, width), aspect)
    filled = Image.fromarray(np.ascontiguousarray(picture.pixels.cpu().permute(1, 2, 0).numpy()))
    return filled.crop((box.left, box.top, box.left + box.width, box.top + box.height))


def _shown_size(image_size: tuple[int, int], longest_side_px: int) -> tuple[int, int]:
    """Compute width and height, in Pillow's order."""
    height, width = image_size
    scale = min(1.0, longest_side_px / max(height, width))
    return max(1, round(width * scale)), max(1, round(height * scale))


def _encode(image: Image.Image, kind: str, **options: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()
