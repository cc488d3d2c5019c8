"""How many defects are rejected where only so many good images may be.

Unlike the model's own threshold, which was set before these images were seen, the thresholds here are set on the good
images of the very data set: they compare models, and promise nothing.
"""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

FALSE_REJECT_RATES = (0.01, 0.02, 0.05)


def recall_at(good: Sequence[float], defect: Sequence[float], rate: float) -> float:
    """Share of `defect` that scores above the lowest threshold which rejects at most the share `rate` of `good`.

    No interpolation: with 39 good images and a rate of 0.01 none of them may be rejected. NaN if either is empty.
    """
    if not good or not defect:
        return float("nan")
    threshold = threshold_at(good, rate)
    return sum(score > threshold for score in defect) / len(defect)


def threshold_at(good: Sequence[float], rate: float) -> float:
    """The lowest score such that at most the share `rate` of `good` lies above it; -inf if all of them may.

    That is the (k + 1)-th highest score with k = floor(rate n). Rejected is what lies above it, as with a verdict;
    so where scores are tied at it, all of them pass, and fewer than k are rejected.
    """
    allowed = allowed_rejects(len(good), rate)
    return sorted(good, reverse=True)[allowed] if allowed < len(good) else -math.inf


def allowed_rejects(n_good: int, rate: float) -> int:
    """How many of `n_good` images the share `rate` is at most."""
    # The small addend keeps 0.07 * 100 from flooring to 6 by a rounding error.
    return math.floor(rate * n_good + 1e-9)


def roc_curve(good: Sequence[float], defect: Sequence[float]) -> npt.NDArray[np.float64]:
    """Points of the ROC curve from (0, 0) to (1, 1), one for each distinct score: false rejects, recall. Shape: (n, 2).

    Ties of good and defect make a slope.
    """
    thresholds = np.unique(np.concatenate([good, defect]))[::-1]
    shares = [
        (len(scores) - np.searchsorted(np.sort(scores), thresholds, side="left")) / len(scores)
        for scores in (np.asarray(good), np.asarray(defect))
    ]
    return np.vstack([np.zeros((1, 2)), np.stack(shares, axis=1)])
