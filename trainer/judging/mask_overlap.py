"""Compare the masks that the worker publishes with the true defects."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Overlap:
    """Overlap of one frame's mask with the true mask."""

    iou: float
    """Intersection over union: pixels in both over pixels in either."""
    area_ratio: float
    """Pixels of the worker's mask over pixels of the true defect."""


@dataclass(frozen=True, slots=True)
class MaskOverlap:
    """Medians over rejected defect images with a true mask."""

    n: int
    """Number of images counted."""
    iou: float
    area_ratio: float


def overlap(mask: npt.NDArray[np.bool_], truth: npt.NDArray[np.bool_]) -> Overlap | None:
    """Compare two masks of one shape, (h, w); None if the truth is empty (a defect of less than a pixel)."""
    true_area = int(truth.sum())
    if not true_area:
        return None
    both = int((mask & truth).sum())
    mask_area = int(mask.sum())
    return Overlap(iou=both / (mask_area + true_area - both), area_ratio=mask_area / true_area)


def median_overlap(overlaps: Sequence[Overlap]) -> MaskOverlap | None:
    """Compute the median of each figure; None without overlaps."""
    if not overlaps:
        return None
    return MaskOverlap(
        n=len(overlaps),
        iou=statistics.median(each.iou for each in overlaps),
        area_ratio=statistics.median(each.area_ratio for each in overlaps),
    )
