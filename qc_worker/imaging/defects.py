"""Finds the defects in an anomaly map, as connected regions."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco
from scipy import ndimage

from qc_worker.domain.calibration import Calibration
from qc_worker.domain.inspection import MAX_DEFECTS, Defect, Mask, Verdict
from qc_worker.imaging.aspect import Aspect
from qc_worker.imaging.preprocessing import content_box

EIGHT_NEIGHBOURS = np.ones((3, 3), dtype=np.uint8)
REGION_HEIGHT = 0.35
"""Share of the height at which regions are cut: lower would blur small defects, higher would leave only the core of
large ones."""
SAMPLED_EVERY = 17
SURELY_AROUND_MEDIAN = (0.46, 0.54)
"""Ranks between which the median of all values lies if that of every 17th is near it. So `half_height` takes 0.1
instead of 0.46 ms in a map of 256 x 256 pixels."""
SEEN_BY_PEOPLE = (Verdict.REJECT, Verdict.REVIEW)

Place = tuple[slice, slice]
"""Rows and columns of a map."""


@dataclass(frozen=True, slots=True)
class _Regions:
    """Connected regions, all within one place of a map."""

    place: Place
    labels: npt.NDArray[np.int32]
    """Number of the region that each of the place's pixels belongs to, from 1 in reading order; 0: none."""
    count: int


def published_defects(
    anomaly_map: npt.NDArray[np.float32],
    mask_map: npt.NDArray[np.float32],
    verdict: Verdict,
    calibration: Calibration,
    *,
    image_size: tuple[int, int],
    aspect: Aspect,
) -> tuple[tuple[Defect, ...], Mask | None]:
    """Find the defects that an inspection publishes: at most MAX_DEFECTS regions, largest first, and one mask of all.

    Their strength and rough place come from `anomaly_map`, as the verdict does: they lie where it is over half of its
    height. There `mask_map` gives the exact outline, unless its peak is below that of most good frames: a missing
    feature, or a faint and wide defect, leaves no fine traces. A reject or review has at least one defect, any other
    verdict none. Shapes: both maps (H, W); `image_size` is height, width.
    """
    if verdict not in SEEN_BY_PEOPLE:
        return (), None
    picture_map, fine = (without_padding(each, image_size, aspect) for each in (anomaly_map, mask_map))
    rough = picture_map >= half_height(picture_map)
    place = _bounds(rough)  # all that follows takes time by the size of what it looks at
    within = np.where(rough[place], fine[place], -np.inf)
    if calibration.mask_peak is not None and within.max(initial=-np.inf) < calibration.mask_peak:
        return _described(picture_map, _regions(rough[place], place), image_size)
    return _described(picture_map, _defective(within, calibration.mask_baseline, place), image_size)


def half_height(picture_map: npt.NDArray[np.floating]) -> float:
    """Compute the value half-way between a map's median and its peak; infinity if nothing is judged. Shapes: (h, w)."""
    judged = _judged(picture_map)
    return (_median(judged) + float(judged.max())) / 2 if judged.size else np.inf


def defective_pixels(picture_map: npt.NDArray[np.floating], usual: float | None) -> npt.NDArray[np.bool_]:
    """Mark the pixels of the strongest defect, and of others that are nearly as strong. Shapes: (h, w).

    The foot is `usual`, which few pixels of good frames exceed, or the map's median if the peak does not exceed
    `usual`. Regions lie over the outline, which is REGION_HEIGHT of the way from the foot to the peak; a region counts
    if its own peak is at least half-way from the outline to the peak. Empty if nothing of the map is judged.
    """
    return _defective(picture_map, usual, _everywhere(picture_map)).labels > 0


def described(
    picture_map: npt.NDArray[np.float32], over: npt.NDArray[np.bool_], image_size: tuple[int, int]
) -> tuple[tuple[Defect, ...], Mask]:
    """List the MAX_DEFECTS largest regions, in pixels of the original; and encode one mask of all regions.

    Cells that touch at a corner belong together. The mask has the map's resolution and covers the whole image. Shapes:
    (h, w) of the map without padding; `image_size` is height, width.
    """
    return _described(picture_map, _regions(over, _everywhere(over)), image_size)


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


def _judged(picture_map: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """Return the values of what is judged, (n,)."""
    is_judged = np.isfinite(picture_map)
    return picture_map.ravel() if is_judged.all() else picture_map[is_judged]


def _median(values: npt.NDArray[np.floating]) -> float:
    """Compute the median, exactly; faster than np.median, which partitions all values, not only those near a guess."""
    rank = middle = len(values) // 2
    sample = values[::SAMPLED_EVERY]
    ranks = [int(share * len(sample)) for share in SURELY_AROUND_MEDIAN]
    low, high = np.partition(sample, ranks)[ranks]
    near = values.compress((values >= low) & (values <= high))
    rank -= int(np.count_nonzero(values < low))
    if not 0 < rank < len(near):  # the median is not between them after all
        near, rank = values, middle
    parted = np.partition(near, rank)
    upper = float(parted[rank])
    return upper if len(values) % 2 else (float(parted[:rank].max()) + upper) / 2


def _everywhere(picture_map: npt.NDArray[Any]) -> Place:
    return slice(0, picture_map.shape[0]), slice(0, picture_map.shape[1])


def _bounds(over: npt.NDArray[np.bool_]) -> Place:
    """Return the smallest place that contains all marked pixels; the first pixel if there are none."""
    rows, columns = np.flatnonzero(over.any(axis=1)), np.flatnonzero(over.any(axis=0))
    if not rows.size:
        return slice(0, 1), slice(0, 1)
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def _regions(over: npt.NDArray[np.bool_], place: Place) -> _Regions:
    labels, count = ndimage.label(over, structure=EIGHT_NEIGHBOURS)
    return _Regions(place, labels, count)


def _defective(picture_map: npt.NDArray[np.floating], usual: float | None, place: Place) -> _Regions:
    """Find the regions that `defective_pixels` marks; the map is that of the place."""
    judged = _judged(picture_map)
    if not judged.size:
        return _regions(np.zeros(picture_map.shape, dtype=np.bool_), place)
    peak = np.float64(judged.max())
    foot = usual if usual is not None and usual < peak else _median(judged)
    outline = foot + REGION_HEIGHT * (peak - foot)
    found = _regions(picture_map >= outline, place)
    return _only(found, _peaks(picture_map, found) >= (outline + peak) / 2)


def _only(regions: _Regions, kept: npt.NDArray[np.bool_]) -> _Regions:
    """Leave out the other regions and number the kept ones in the same order; `kept[i]` is for region i + 1."""
    if kept.all():
        return regions
    numbers = np.zeros(regions.count + 1, dtype=np.int32)
    numbers[1:][kept] = np.arange(1, np.count_nonzero(kept) + 1)
    return _Regions(regions.place, numbers[regions.labels], int(numbers.max()))


def _peaks(place_map: npt.NDArray[np.floating], regions: _Regions) -> npt.NDArray[np.floating]:
    """Return the highest value in each region; ndimage.maximum would sort the whole map for it."""
    marked = regions.labels > 0
    if regions.count == 1:
        return np.array([place_map[marked].max()])
    peaks = np.full(regions.count + 1, -np.inf, dtype=place_map.dtype)
    np.maximum.at(peaks, regions.labels[marked], place_map[marked])
    return peaks[1:]


def _described(
    picture_map: npt.NDArray[np.float32], regions: _Regions, image_size: tuple[int, int]
) -> tuple[tuple[Defect, ...], Mask]:
    mask = np.zeros(picture_map.shape, dtype=np.bool_, order="F")
    mask[regions.place] = regions.labels > 0
    largest, areas = _largest(regions)
    peaks = _peaks(picture_map[regions.place], largest)
    found = zip(ndimage.find_objects(largest.labels), areas, peaks, strict=True)
    size = (picture_map.shape[0], picture_map.shape[1])
    defects = [
        _defect(_placed(where, regions.place), int(area), float(peak), size, image_size) for where, area, peak in found
    ]
    return tuple(sorted(defects, key=lambda defect: -defect.area_px)), encode_mask(mask)


def _largest(regions: _Regions) -> tuple[_Regions, npt.NDArray[np.int64]]:
    """Return the MAX_DEFECTS largest regions and their areas, cells; of equal ones the first."""
    areas = np.bincount(regions.labels.ravel(), minlength=regions.count + 1)[1:]
    if regions.count <= MAX_DEFECTS:
        return regions, areas
    kept = np.zeros(regions.count, dtype=np.bool_)
    kept[np.argsort(-areas, kind="stable")[:MAX_DEFECTS]] = True
    return _only(regions, kept), areas[kept]


def _placed(where: Place, place: Place) -> Place:
    """Turn rows and columns of the place into those of the map."""
    rows, columns = (slice(span.start + of.start, span.stop + of.start) for span, of in zip(where, place, strict=True))
    return rows, columns


def _defect(
    where: Place, area_cells: int, peak: float, map_size: tuple[int, int], image_size: tuple[int, int]
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
