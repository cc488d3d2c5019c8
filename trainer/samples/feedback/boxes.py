"""Draw the boxes that people marked as a coarse mask."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from qc_worker.domain.feedback import MarkedBox

Pixels = npt.NDArray[np.bool_]


def mask_of(boxes: Sequence[MarkedBox], image_size: tuple[int, int]) -> Pixels | None:
    """Mark all pixels inside the boxes, shape `image_size`; None if no box lies on the image."""
    mask = np.zeros(image_size, dtype=bool)
    for box in boxes:
        mask[box.y : box.y + box.height, box.x : box.x + box.width] = True
    return mask if mask.any() else None
