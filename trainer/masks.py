"""Ground truth: under which names masks are found, and how they lie at the model's input resolution."""

import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from qc_worker.domain.errors import TrainingError
from qc_worker.simplenet.preprocessing import content_box
from qc_worker.simplenet.spec import Aspect, InputSize

ENDINGS = ("_mask", "-mask", "_gt", "")
"""What follows the image's stem, most telling first; MVTec's sets have the first, or none."""
SUFFIXES = (".png", ".bmp", ".tif", ".tiff", ".jpg", ".jpeg", ".gif", ".webp")
"""Small letters or capitals. Lossless formats first: a JPEG beside them is more likely a preview."""
MASK_NAMES = tuple(f"<stem>{ending}.EXT" for ending in ENDINGS)
"""All names that are tried, for people; EXT is one of `MASK_EXTENSIONS`."""
MASK_EXTENSIONS = tuple(suffix[1:] for suffix in SUFFIXES)


def mask_at_input_size(path: Path, *, input_size: InputSize, aspect: Aspect) -> npt.NDArray[np.bool_]:
    """Read a mask and lay it where the picture lies. Shape: (H, W).

    Nearest neighbour, as the published figures on MVTec AD have it. Raises TrainingError.
    """
    read = Image.fromarray(read_mask(path))
    box = content_box((read.height, read.width), input_size, aspect)
    mask = np.zeros(input_size, dtype=bool)
    inner = np.asarray(read.resize((box.width, box.height), Image.Resampling.NEAREST))
    mask[box.top : box.top + box.height, box.left : box.left + box.width] = inner
    return mask


def read_mask(path: Path) -> npt.NDArray[np.bool_]:
    """Read a mask at its own size: anything but 0 is defect; in a JPEG, all that is nearer to white. Shape: (h, w).

    Raises TrainingError.
    """
    try:
        with Image.open(path) as image:
            # JPEG leaves grey dots around every edge.
            darkest = 127 if image.format in ("JPEG", "MPO") else 0
            return np.asarray(image.convert("L")) > darkest
    except (UnidentifiedImageError, OSError) as error:
        raise TrainingError(f"mask {path} cannot be read: {error}") from None


def mask_png(path: Path) -> bytes:
    """Read a mask and encode it as PNG: 0, and 255 on the defect. Raises TrainingError."""
    encoded = io.BytesIO()
    Image.fromarray(read_mask(path)).convert("L").save(encoded, "PNG")
    return encoded.getvalue()


def find_mask(masks: Path, image: Path) -> Path | None:
    """The mask of an image, named as `MASK_NAMES` has it; `image` is relative to the images' folder."""
    for ending in ENDINGS:
        for suffix in SUFFIXES:
            for spelled in (suffix, suffix.upper()):
                candidate = masks / image.parent / f"{image.stem}{ending}{spelled}"
                if candidate.is_file():
                    return candidate
    return None
