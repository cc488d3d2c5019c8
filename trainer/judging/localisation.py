"""Compute exact pixel AUROC and AUPRO over many frames, with four bytes of memory per normal pixel.

AUPRO: Bergmann et al., "The MVTec Anomaly Detection Dataset", IJCV 2021: per-region overlap, averaged over connected
regions, integrated over false-positive rates up to 0.3 and divided by 0.3. A region of n pixels weighs 1/n on each of
them, which makes the curve a ROC curve with weighted positives.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from qc_worker.simplenet.regions import NOT_JUDGED
from qc_worker.simplenet.roc import Scores, ranked_area

AUPRO_LIMIT = 0.3
EIGHT_NEIGHBOURS = np.ones((3, 3), dtype=bool)


@dataclass(slots=True)
class PixelScores:
    """Pixel scores of one group of frames (the good ones, or one kind of defect)."""

    normal: list[Scores] = field(default_factory=list)
    anomalous: list[Scores] = field(default_factory=list)
    region_weights: list[npt.NDArray[np.float64]] = field(default_factory=list)

    def add(self, anomaly_map: Scores, mask: npt.NDArray[np.bool_]) -> None:
        """Add one frame, without pixels that are not judged. Shapes: both (h, w), `mask` true on the defect."""
        judged = anomaly_map != NOT_JUDGED
        self.normal.append(anomaly_map[judged & ~mask])
        mask = judged & mask
        regions, count = ndimage.label(mask, structure=EIGHT_NEIGHBOURS)
        if count:
            areas = np.bincount(regions.ravel())
            self.anomalous.append(anomaly_map[mask])
            self.region_weights.append(1 / areas[regions[mask]])

    def finish(self) -> None:
        """Merge and sort the scores of normal pixels, in place."""
        merged = np.concatenate([*self.normal, np.empty(0, np.float32)])
        merged.sort()
        self.normal = [merged]


@dataclass(frozen=True, slots=True)
class Localisation:
    """Pixel metrics; None if no frame had a mask."""

    pixel_auroc: float | None
    aupro: float | None


def localisation(groups: Sequence[PixelScores]) -> Localisation:
    """Compute both metrics over the frames of several finished groups."""
    anomalous = [scores for group in groups for scores in group.anomalous]
    if not anomalous:
        return Localisation(None, None)
    normal = [scores for group in groups for scores in group.normal]
    positives = np.concatenate(anomalous)
    weights = np.concatenate([weights for group in groups for weights in group.region_weights])
    return Localisation(
        pixel_auroc=ranked_area(normal, positives, np.ones(len(positives)), limit=1.0),
        aupro=ranked_area(normal, positives, weights, limit=AUPRO_LIMIT),
    )
