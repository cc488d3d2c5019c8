"""Calibrate a threshold on held-out good frames."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from qc_worker.domain.calibration import Calibration
from qc_worker.domain.errors import TrainingError
from qc_worker.simplenet.anomaly_map import image_scores
from qc_worker.simplenet.inference.folded import FoldedHead, patch_scores
from qc_worker.simplenet.inference.precision import head_dtype
from qc_worker.simplenet.inference.scored import Scored
from qc_worker.simplenet.inference.scorer import Scorer
from qc_worker.thresholds.promise import FalseRejectPromise, promise
from trainer.judging.group_calibration import GroupCalibration
from trainer.progress import Advance
from trainer.samples.reading import BATCH_SIZE, PictureBatch

MASK_SHARE = 0.05
"""Share of the pixels of good frames that lie above the baseline of masks."""
MASK_FRAMES = 32
"""Most good frames to measure the baseline from."""
WEAK_PEAKS = 0.25
"""Share of good frames whose peak is weak: so low a peak says nothing in a rejected frame either."""
SAMPLED_EVERY = 4
"""Measure every fourth pixel of rows and columns only: maps are smooth."""


@dataclass(frozen=True, slots=True)
class MaskMeasure:
    """Statistics of good frames in the maps that masks are made from."""

    baseline: float
    """Value that a share of MASK_SHARE of their pixels exceeds."""
    peak: float
    """Value above the peaks of a share of WEAK_PEAKS of the frames."""


def calibrate(
    scores: Iterable[float], *, alpha: float, review_rate: float | None, masks: MaskMeasure | None = None
) -> Calibration:
    """Make a calibration from scores of held-out good frames. Raises TrainingError."""
    ascending = tuple(sorted(scores))
    if not all(map(math.isfinite, ascending)):
        raise TrainingError("the head computed scores that are not finite: no version was released")
    try:
        return Calibration(
            ascending,
            max_false_reject=alpha,
            review_rate=review_rate,
            mask_baseline=masks.baseline if masks else None,
            mask_peak=masks.peak if masks else None,
        )
    except ValueError as error:
        raise TrainingError(str(error)) from None


def raised_for_groups(calibration: Calibration, by_groups: GroupCalibration) -> Calibration:
    """Raise the threshold to the one for new groups, if that is higher.

    Frames of the known groups are then rejected at a lower rate than asked for, and the calibration states that rate.
    """
    if by_groups.threshold <= calibration.threshold:
        return calibration
    return calibration.moved_to_score(by_groups.threshold, review_rate=calibration.review_rate)


def promise_with_groups(calibration: Calibration, by_groups: GroupCalibration | None) -> FalseRejectPromise:
    """State the rate that the calibration guarantees and, if frames have groups, the rate to expect on new groups."""
    found = promise(calibration)
    if by_groups is None:
        return found
    return replace(found, groups=by_groups.groups, group_rate=by_groups.rate, group_interval=by_groups.interval)


def score_batches(
    scorer: Scorer, head: FoldedHead, batches: Iterable[PictureBatch], *, advance: Advance
) -> list[float]:
    """Compute image scores in order, with the worker's scorer."""
    scores: list[float] = []
    for scored in _scored(scorer, head, batches, advance):
        scores.extend(scored.scores.tolist())
    return scores


def score_embeddings(scorer: Scorer, head: FoldedHead, rows: Sequence[Tensor], *, advance: Advance) -> list[float]:
    """Compute image scores from stored embeddings, without the backbone; equal to the worker's except for rounding.

    Shape: `rows` (h0 w0, C) each.
    """
    scores: list[float] = []
    for start in range(0, len(rows), BATCH_SIZE):
        batch = torch.stack([each.to(head_dtype(scorer.dtype)) for each in rows[start : start + BATCH_SIZE]]).to(
            scorer.device
        )
        embedding = batch.view(len(batch), *scorer.spec.grid, -1).permute(0, 3, 1, 2)
        levels = torch.split(embedding, list(scorer.level_channels), dim=1)
        scores += image_scores(patch_scores(levels, [head] * len(batch), scorer.spec.grid)).tolist()
        advance(len(batch))
    return scores


def measure_masks(
    scorer: Scorer, head: FoldedHead, batches: Iterable[PictureBatch], *, advance: Advance
) -> MaskMeasure | None:
    """Measure good frames in the maps that masks are made from; None if no pixel is judged.

    The head may have been fitted to these frames: no promise depends on the result.
    """
    sampled, peaks = [np.empty(0, np.float32)], list[float]()
    for scored in _scored(scorer, head, batches, advance):
        for mask_map in map(scored.mask_map_of, range(len(scored.scores))):
            sampled.append(mask_map[::SAMPLED_EVERY, ::SAMPLED_EVERY].ravel())
            peaks.append(float(mask_map.max()))
    pixels, shown = np.concatenate(sampled), [peak for peak in peaks if math.isfinite(peak)]
    judged = pixels[np.isfinite(pixels)]
    if not (judged.size and shown):
        return None
    return MaskMeasure(baseline=float(np.quantile(judged, 1 - MASK_SHARE)), peak=float(np.quantile(shown, WEAK_PEAKS)))


def _scored(scorer: Scorer, head: FoldedHead, batches: Iterable[PictureBatch], advance: Advance) -> Iterator[Scored]:
    with torch.inference_mode():
        for batch in batches:
            heads = [head] * len(batch.pixels)
            yield scorer.score(batch.pixels, heads, boxes=batch.boxes)
            advance(len(heads))
