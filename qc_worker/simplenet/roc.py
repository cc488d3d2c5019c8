"""Measures how well scores separate normal from anomalous: areas under rank curves, exact, ties included.

Every curve here is a ROC curve with weighted positives, so no curve is ever built. A positive with score s and weight w
lifts the curve by w while the false-positive rate runs from a = #{normal > s} / N to b = #{normal >= s} / N, and its
share of the area up to `limit` has a closed form. That needs the normal scores sorted, and nothing else in memory.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.float32]
CHUNK = 1 << 20


def auroc(normal: Iterable[float], anomalous: Iterable[float]) -> float:
    """Compute the chance that an anomalous score exceeds a normal one; a tie counts half (Fawcett 2006).

    NaN if either is empty.
    """
    ascending = np.sort(np.fromiter(normal, dtype=np.float32))
    positives = np.fromiter(anomalous, dtype=np.float32)
    return ranked_area([ascending], positives, np.ones(len(positives)), limit=1.0)


def ranked_area(
    ascending: Sequence[Scores], positives: Scores, weights: npt.NDArray[np.float64], *, limit: float
) -> float:
    """Compute the area under the weighted ROC curve for false-positive rates from 0 to `limit`, divided by `limit`.

    `ascending`: sorted arrays that together hold the normal scores; `positives`, `weights`: (n,).
    NaN if there are no normal scores or no positives.
    """
    total = sum(map(len, ascending))
    if not total or not len(positives):
        return float("nan")
    area = 0.0
    # In order, the searches below stay in the processor's cache: several times faster for millions of pixels.
    order = np.argsort(positives)
    positives, weights = positives[order], weights[order]
    for start in range(0, len(positives), CHUNK):
        part = slice(start, start + CHUNK)
        area += float(np.dot(weights[part], _areas(ascending, positives[part], total, limit)))
    return area / float(weights.sum()) / limit


def _areas(ascending: Sequence[Scores], positives: Scores, total: int, limit: float) -> npt.NDArray[np.float64]:
    reached = sum(len(scores) - np.searchsorted(scores, positives, side="left") for scores in ascending) / total
    passed = sum(len(scores) - np.searchsorted(scores, positives, side="right") for scores in ascending) / total
    # Among ties the curve is a straight line from `passed` to `reached`; `limit` may cut it.
    tied = np.maximum(reached - passed, np.finfo(np.float64).tiny)
    cut = np.square(np.maximum(limit - passed, 0)) / (2 * tied)
    return np.asarray(np.where(reached <= limit, limit - (passed + reached) / 2, cut))
