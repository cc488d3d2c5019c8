"""Finds the defects in an anomaly map, as connected regions."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco
from scipy import ndimage

from qc_worker.domain.calibration import Calibration
from qc_worker.domain.inspection import Defect, Mask, Verdict
from qc_worker.imaging.aspect import Aspect
from qc_worker.imaging.preprocessing import content_box

EIGHT_NEIGHBOURS = np.ones((3, 3), dtype=np.uint8)
REGION_HEIGHT = 0.35
"""Share of the height at which regions are cut: lower would blur small defects, higher would leave only the core of
large ones."""
SEEN_BY_PEOPLE = (Verdict.REJECT, Verdict.REVIEW)


def published_defects(
    anomaly_map: npt.NDArray[np.float32],
    mask_map: npt.NDArray[np.float32],
    verdict: Verdict,
    calibration: Calibration,
    *,
    image_size: tuple[int, int],
    aspect: Aspect,
) -> tuple[tuple[Defect, ...], Mask | None]:
    """Find the defects that an inspection publishes: regions, largest first, and one mask of them all.

    Their strength and rough place come from `anomaly_map`, as the verdict does: they lie where it is over half of its
    height. There `mask_map` gives the exact outline, unless its peak is below that of most good frames: a missing
    feature, or a faint and wide defect, leaves no fine traces. A reject or review has at least one defect, any other
    verdict none. Shapes: both maps (H, W); `image_size` is height, width.
    """
    if verdict not in SEEN_BY_PEOPLE:
        return (), None
    picture_map, fine = (without_padding(each, image_size, aspect) for each in (anomaly_map, mask_map))
    rough = picture_map >= half_height(picture_map)
    within = np.where(rough, fine, -np.inf)
    if calibration.mask_peak is not None and within.max(initial=-np.inf) < calibration.mask_peak:
        return described(picture_map, rough, image_size)
    return described(picture_map, defective_pixels(within, calibration.mask_baseline), image_size)


def half_height(picture_map: npt.NDArray[np.float32]) -> float:
    """Compute the value half-way between a map's median and its peak; infinity if nothing is judged. Shapes: (h, w)."""
    judged = picture_map[np.isfinite(picture_map)].astype(np.float64)
    return float((np.median(judged) + judged.max()) / 2) if judged.size else np.inf


def defective_pixels(picture_map: npt.NDArray[np.floating], usual: float | None) -> npt.NDArray[np.bool_]:
    """Mark the pixels of the strongest defect, and of others that are nearly as strong. Shapes: (h, w).

    The foot is `usual`, which few pixels of good frames exceed, or the map's median if the peak does not exceed
    `usual`. Regions lie over the outline, which is REGION_HEIGHT of the way from the foot to the peak; a region counts
    if its own peak is at least half-way from the outline to the peak. Empty if nothing of the map is judged.
    """
    judged = picture_map[np.isfinite(picture_map)].astype(np.float64)
    if not judged.size:
        return np.zeros(picture_map.shape, dtype=np.bool_)
    peak = judged.max()
    foot = usual if usual is not None and usual < peak else float(np.median(judged))
    outline = foot + REGION_HEIGHT * (peak - foot)
    labels, count = ndimage.label(picture_map >= outline, structure=EIGHT_NEIGHBOURS)
    peaks = ndimage.maximum(picture_map, labels, np.arange(count + 1))
    counts = np.asarray(peaks) >= (outline + peak) / 2
    counts[0] = False  # label 0: pixels of no region
    over: npt.NDArray[np.bool_] = counts[labels]
    return over


def described(
    picture_map: npt.NDArray[np.float32], over: npt.NDArray[np.bool_], image_size: tuple[int, int]
) -> tuple[tuple[Defect, ...], Mask]:
    """List the regions, largest first, in pixels of the original; and encode one mask of them all.

    Cells that touch at a corner belong together. The mask has the map's resolution and covers the whole image. Shapes:
    (h, w) of the map without padding; `image_size` is height, width.
    """
    labels, count = ndimage.label(over, structure=EIGHT_NEIGHBOURS)
    areas = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    peaks = ndimage.maximum(picture_map, labels, np.arange(1, count + 1)) if count else []
    regions = zip(ndimage.find_objects(labels), areas, peaks, strict=True)
    size = (over.shape[0], over.shape[1])
    defects = [_defect(where, int(area), float(peak), size, image_size) for where, area, peak in regions]
    return tuple(sorted(defects, key=lambda defect: -defect.area_px)), encode_mask(over)


def without_padding(
    anomaly_map: npt.NDArray[np.float32], image_size: tuple[int, int], aspect: Aspect
) -> npt.NDArray[np.float32]:
    """Crop an (H, W) map to the part that the picture covers."""
    box = content_box(image_size, (anomaly_map.shape[0], anomaly_map.shape[1]), aspect)
    return anomaly_map[box.top : box.top + box.height, box.left : box.left + box.width]


def encode_mask(mask: npt.NDArray[np.bool_]) -> Mask:
    """Encode a boolean (h, w) array in COCO's compressed run-length encoding."""
    encoded: dict[str, Any] = coco.encode(np.asfortranarray(mask, dtype=np.uint8))
    return Mask(size=(mask.shape[0], mask.shape[1]), counts=encoded["counts"].decode("ascii"))


def _defect(
    where: tuple[slice, slice], area_cells: int, peak: float, map_size: tuple[int, int], image_size: tuple[int, int]
) -> Defect:
    """Describe one region; its box grows to whole pixels, so that it never cuts into the region.

    Computed in integers, so that rounding never puts a box outside of the picture.
    """
    (top, bottom), (left, right) = (
        (span.start * pixels // cells, -(-span.stop * pixels // cells))
        for span, pixels, cells in zip(where, image_size, map_size, strict=True)
    )
    area_px = max(1, round(area_cells * math.prod(image_size) / math.prod(map_size)))
    return Defect(x=left, y=top, width=right - left, height=bottom - top, area_px=area_px, peak_score=peak)
