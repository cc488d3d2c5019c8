"""Read ground-truth masks, and resize them to the model's input."""

import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile

from qc_worker.domain.errors import InvalidFrame, TrainingError
from qc_worker.domain.names import readable
from qc_worker.imaging.aspect import Aspect, InputSize
from qc_worker.imaging.opening import ImageLimits, opened
from qc_worker.imaging.preprocessing import content_box

Pixels = npt.NDArray[np.bool_]

LOSSY = ("JPEG", "MPO", "AVIF")
MAX_NOISE = 32
"""Highest brightness of compression noise in lossy formats: no pixel of an empty mask is brighter."""
LOSSY_WEBP = b"VP8 "
WEBP_HEADER_BYTES = 16
BYTES_PER_PIXEL = 4
"""Masks may be uncompressed: files of up to this many bytes a pixel are read."""


def mask_at_input_size(
    paths: Sequence[Path], *, input_size: InputSize, aspect: Aspect, limits: ImageLimits
) -> npt.NDArray[np.bool_]:
    """Read a mask and place it where the picture lies in the model's input. Shape: (H, W).

    Resized by nearest neighbour, as for the published figures on MVTec AD. Raises TrainingError.
    """
    read = Image.fromarray(read_mask(paths, limits))
    box = content_box((read.height, read.width), input_size, aspect)
    mask = np.zeros(input_size, dtype=bool)
    inner = np.asarray(read.resize((box.width, box.height), Image.Resampling.NEAREST))
    mask[box.top : box.top + box.height, box.left : box.left + box.width] = inner
    return mask


def read_mask(paths: Sequence[Path], limits: ImageLimits) -> Pixels:
    """Read the files of one mask, at least one, at their own size, and return their union. Shape: (h, w).

    Marked are opaque pixels of any colour but black; if there are none, all opaque pixels. In lossy files, pixels
    brighter than half of the brightest one are marked. Raises TrainingError.
    """
    first, *others = paths
    marked = _marked_in(first, limits)
    for path in others:
        more = _marked_in(path, limits)
        if more.shape != marked.shape:
            raise TrainingError(f"masks {readable(first)} and {readable(path)} of one picture differ in size")
        marked = marked | more
    return marked


def as_png(mask: Pixels) -> bytes:
    """Encode a mask as PNG: 0, and 255 on the defect."""
    encoded = io.BytesIO()
    Image.fromarray(mask).convert("L").save(encoded, "PNG")
    return encoded.getvalue()


def _marked_in(path: Path, limits: ImageLimits) -> Pixels:
    whole = replace(limits, max_bytes=max(limits.max_bytes, BYTES_PER_PIXEL * limits.max_pixels))
    try:
        content = path.read_bytes()
        with opened(content, whole) as image:
            image.load()
            return _over_noise(image) if _is_lossy(image, content) else _any_mark(image)
    except InvalidFrame as error:
        raise TrainingError(f"mask {readable(path)} cannot be read: {error.detail}") from None
    except OSError as error:
        raise TrainingError(f"mask {readable(path)} cannot be read: {error.strerror or error}") from None


def _is_lossy(image: ImageFile.ImageFile, content: bytes) -> bool:
    return image.format in LOSSY or (image.format == "WEBP" and content[:WEBP_HEADER_BYTES].endswith(LOSSY_WEBP))


def _over_noise(image: Image.Image) -> Pixels:
    brightest = np.asarray(image.convert("RGB")).max(axis=-1)
    marked: Pixels = brightest > max(MAX_NOISE, int(brightest.max()) // 2)
    return marked


def _any_mark(image: Image.Image) -> Pixels:
    has_alpha = "A" in image.mode or "transparency" in image.info
    if not has_alpha and image.mode[0] in "1LIF":
        # At full depth: a conversion to 8 bits would lose the low values.
        return _not_zero(np.nan_to_num(np.asarray(image)))
    colours = np.asarray(image.convert("RGBA"))
    coloured = _not_zero(colours[..., :3].max(axis=-1))
    opaque = _not_zero(colours[..., 3])
    # A constant alpha channel says nothing.
    if has_alpha and opaque.any() and not opaque.all():
        return coloured & opaque if np.any(coloured & opaque) else opaque
    # If all colours of a palette are black, the index of the colour is the label.
    return _not_zero(np.asarray(image)) if image.mode == "P" and not coloured.any() else coloured


def _not_zero(values: npt.NDArray[np.generic]) -> Pixels:
    marked: Pixels = values != 0
    return marked
