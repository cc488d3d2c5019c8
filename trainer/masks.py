"""Ground truth at the model's input resolution."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from qc_worker.domain.errors import TrainingError
from qc_worker.simplenet.preprocessing import content_box
from qc_worker.simplenet.spec import Aspect, InputSize


def mask_at_input_size(path: Path, *, input_size: InputSize, aspect: Aspect) -> npt.NDArray[np.bool_]:
    """Read a mask (anything but 0 is defect) and lay it where the picture lies. Shape: (H, W).

    Nearest neighbour, as the published figures on MVTec AD have it. Raises TrainingError.
    """
    try:
        with Image.open(path) as image:
            grey = image.convert("L")
    except (UnidentifiedImageError, OSError) as error:
        raise TrainingError(f"mask {path} cannot be read: {error}") from None
    box = content_box((grey.height, grey.width), input_size, aspect)
    mask = np.zeros(input_size, dtype=bool)
    inner = np.asarray(grey.resize((box.width, box.height), Image.Resampling.NEAREST)) > 0
    mask[box.top : box.top + box.height, box.left : box.left + box.width] = inner
    return mask


def find_mask(masks: Path, image: Path) -> Path | None:
    """The mask of an image, MVTec's `<stem>_mask.png` or `<stem>.png`; `image` is relative to the images' folder."""
    for name in (f"{image.stem}_mask.png", f"{image.stem}.png"):
        candidate = masks / image.parent / name
        if candidate.is_file():
            return candidate
    return None
