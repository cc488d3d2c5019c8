"""Compute the recall of defects at a fixed share of rejected good images.

The thresholds here are set on the good images of the evaluated data set itself, unlike the model's own threshold: they
serve to compare models and promise nothing.
"""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

FALSE_REJECT_RATES = (0.01, 0.02, 0.05)


def recall_at(good: Sequence[float], defect: Sequence[float], rate: float) -> float:
    """Compute the share of `defect` above the lowest threshold that rejects at most the share `rate` of `good`.

    No interpolation: with 39 good images and a rate of 0.01, none of them may be rejected. NaN if either is empty.
    """
    if not good or not defect:
        return float("nan")
    threshold = threshold_at(good, rate)
    return sum(score > threshold for score in defect) / len(defect)


def threshold_at(good: Sequence[float], rate: float) -> float:
    """Return the lowest score with at most the share `rate` of `good` above it; -inf if all may lie above it.

    It is the (k + 1)-th highest score, k = floor(rate n). As for verdicts, scores above it are rejected; scores equal
    to it pass, so fewer than k are rejected if scores are tied.
    """
    allowed = allowed_rejects(len(good), rate)
    return sorted(good, reverse=True)[allowed] if allowed < len(good) else -math.inf


def allowed_rejects(n_good: int, rate: float) -> int:
    """Return the largest number of rejects among `n_good` images that is at most the share `rate`."""
    # Without the small addend, rounding would make floor(0.29 * 100) 28.
    return math.floor(rate * n_good + 1e-9)


def roc_curve(good: Sequence[float], defect: Sequence[float]) -> npt.NDArray[np.float64]:
    """Compute the ROC curve from (0, 0) to (1, 1), one point (false rejects, recall) per distinct score. Shape: (n, 2).

    If good images and defects have equal scores, the curve has a slope there instead of a step.
    """
    thresholds = np.unique(np.concatenate([good, defect]))[::-1]
    shares = [
        (len(scores) - np.searchsorted(np.sort(scores), thresholds, side="left")) / len(scores)
        for scores in (np.asarray(good), np.asarray(defect))
    ]
    return np.vstack([np.zeros((1, 2)), np.stack(shares, axis=1)])
