"""Ground truth: what of a mask is defect, and how it lies at the model's input resolution."""

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
from qc_worker.imaging.preprocessing import ImageLimits, content_box, opened

Pixels = npt.NDArray[np.bool_]

LOSSY = ("JPEG", "MPO", "AVIF")
MAX_NOISE = 32
"""Grey dots of lossy formats around every edge; of an empty mask nothing is brighter."""
LOSSY_WEBP = b"VP8 "
WEBP_HEADER_BYTES = 16
BYTES_PER_PIXEL = 4
"""Masks need no compression: as large a file as all their pixels take is read."""


def mask_at_input_size(
    paths: Sequence[Path], *, input_size: InputSize, aspect: Aspect, limits: ImageLimits
) -> npt.NDArray[np.bool_]:
    """Read a mask and lay it where the picture lies. Shape: (H, W).

    Nearest neighbour, as the published figures on MVTec AD have it. Raises TrainingError.
    """
    read = Image.fromarray(read_mask(paths, limits))
    box = content_box((read.height, read.width), input_size, aspect)
    mask = np.zeros(input_size, dtype=bool)
    inner = np.asarray(read.resize((box.width, box.height), Image.Resampling.NEAREST))
    mask[box.top : box.top + box.height, box.left : box.left + box.width] = inner
    return mask


def read_mask(paths: Sequence[Path], limits: ImageLimits) -> Pixels:
    """Read the files of one mask, at least one, at their own size: what any of them marks is defect. Shape: (h, w).

    Marked is any colour but black that is not transparent; if there is none, what is opaque. In lossy files it is
    what is brighter than half of the brightest pixel. Raises TrainingError.
    """
    first, *others = paths
    marked = _marked_in(first, limits)
    for path in others:
        more = _marked_in(path, limits)
        if more.shape != marked.shape:
            raise TrainingError(f"masks {readable(first)} and {readable(path)} are of one picture, but differ in size")
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
    # A channel that is the same everywhere says nothing.
    if has_alpha and opaque.any() and not opaque.all():
        return coloured & opaque if np.any(coloured & opaque) else opaque
    # Labels in a palette of blacks are told by their numbers.
    return _not_zero(np.asarray(image)) if image.mode == "P" and not coloured.any() else coloured


def _not_zero(values: npt.NDArray[np.generic]) -> Pixels:
    marked: Pixels = values != 0
    return marked
