"""Where the defects are: connected regions of the anomaly map over the threshold."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco
from scipy import ndimage

from qc_worker.domain.calibration import Calibration
from qc_worker.domain.inspection import Defect, Mask, Verdict
from qc_worker.simplenet.preprocessing import content_box
from qc_worker.simplenet.spec import Aspect

EIGHT_NEIGHBOURS = np.ones((3, 3), dtype=np.uint8)
SEEN_BY_PEOPLE = (Verdict.REJECT, Verdict.REVIEW)


def published_defects(
    anomaly_map: npt.NDArray[np.float32],
    verdict: Verdict,
    calibration: Calibration,
    *,
    image_size: tuple[int, int],
    aspect: Aspect,
) -> tuple[tuple[Defect, ...], Mask | None]:
    """Find what an inspection says of where the defects are: regions, largest first, and one mask of them all.

    Over the verdict's own threshold, what few pixels of good frames exceed, and half-way between the map's median and
    its peak, all three: the surroundings of a strong defect are not defective. Where nothing is, as the smoothed map
    may lie below the score, the region around its peak, so that a reject always shows at least one. Nothing for a pass.
    Shapes: `anomaly_map` (H, W); `image_size` is height, width.
    """
    if verdict not in SEEN_BY_PEOPLE:
        return (), None
    threshold = calibration.threshold if verdict is Verdict.REJECT else calibration.review_threshold
    picture_map = without_padding(anomaly_map, image_size, aspect)
    outline = max(threshold, calibration.mask_threshold or threshold, half_height(picture_map))
    over = _over(picture_map, outline)
    return _described(picture_map, over if over.any() else around_peak(picture_map), image_size)


def localise(
    anomaly_map: npt.NDArray[np.float32], threshold: float, image_size: tuple[int, int], aspect: Aspect
) -> tuple[tuple[Defect, ...], Mask]:
    """Regions over `threshold`, largest first, in pixels of the original; and one mask of them all.

    Cells that touch at a corner belong together. The mask has the map's resolution, without padding, and covers
    the whole image. Shapes: `anomaly_map` (H, W); `image_size` is height, width.
    """
    picture_map = without_padding(anomaly_map, image_size, aspect)
    return _described(picture_map, _over(picture_map, threshold), image_size)


def around_peak(picture_map: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
    """The region around the map's peak that is at least half-way between its median and the peak. Shapes: (h, w).

    Empty if nothing of the map is judged.
    """
    if not np.isfinite(picture_map).any():
        return np.zeros(picture_map.shape, dtype=np.bool_)
    peak = np.where(np.isfinite(picture_map), picture_map, -np.inf).argmax()
    labels, _ = ndimage.label(picture_map >= half_height(picture_map), structure=EIGHT_NEIGHBOURS)
    region: npt.NDArray[np.bool_] = labels == labels.ravel()[peak]
    return region


def half_height(picture_map: npt.NDArray[np.float32]) -> float:
    """Half-way between the map's median and its peak; minus infinity if nothing of it is judged. Shapes: (h, w)."""
    judged = picture_map[np.isfinite(picture_map)].astype(np.float64)
    return float((np.median(judged) + judged.max()) / 2) if judged.size else -math.inf


def _over(picture_map: npt.NDArray[np.float32], threshold: float) -> npt.NDArray[np.bool_]:
    over: npt.NDArray[np.bool_] = picture_map > np.float64(threshold)  # a plain float would be rounded to float32 first
    return over


def _described(
    picture_map: npt.NDArray[np.float32], over: npt.NDArray[np.bool_], image_size: tuple[int, int]
) -> tuple[tuple[Defect, ...], Mask]:
    labels, count = ndimage.label(over, structure=EIGHT_NEIGHBOURS)
    areas = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    peaks = ndimage.maximum(picture_map, labels, np.arange(1, count + 1)) if count else []
    regions = zip(ndimage.find_objects(labels), areas, peaks, strict=True)
    scale = (image_size[0] / over.shape[0], image_size[1] / over.shape[1])
    defects = [_defect(where, int(area), float(peak), scale) for where, area, peak in regions]
    return tuple(sorted(defects, key=lambda defect: -defect.area_px)), encode_mask(over)


def without_padding(
    anomaly_map: npt.NDArray[np.float32], image_size: tuple[int, int], aspect: Aspect
) -> npt.NDArray[np.float32]:
    """The part of an (H, W) map that the picture covers."""
    box = content_box(image_size, (anomaly_map.shape[0], anomaly_map.shape[1]), aspect)
    return anomaly_map[box.top : box.top + box.height, box.left : box.left + box.width]


def encode_mask(mask: npt.NDArray[np.bool_]) -> Mask:
    """A boolean (h, w) array in COCO's compressed run-length encoding."""
    encoded: dict[str, Any] = coco.encode(np.asfortranarray(mask, dtype=np.uint8))
    return Mask(size=(mask.shape[0], mask.shape[1]), counts=encoded["counts"].decode("ascii"))


def _defect(where: tuple[slice, slice], area_cells: int, peak: float, scale: tuple[float, float]) -> Defect:
    """Boxes grow to whole pixels, so that they never cut into their region."""
    rows, columns = where
    top, bottom = int(rows.start * scale[0]), int(np.ceil(rows.stop * scale[0]))
    left, right = int(columns.start * scale[1]), int(np.ceil(columns.stop * scale[1]))
    area_px = max(1, round(area_cells * scale[0] * scale[1]))
    return Defect(x=left, y=top, width=right - left, height=bottom - top, area_px=area_px, peak_score=peak)
