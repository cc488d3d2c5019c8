"""Measure false rejects over many random splits of good frames into calibration frames and new frames.

Split conformal calibration promises at most alpha of new good frames rejected, on average over splits, if calibration
frames and new frames are exchangeable, as frames drawn at random from one pool are. Frames of one part under several
lights are alike; mixing them in the pool keeps the average and increases its spread. The experiment says nothing about
lines whose parts come in batches that look different: for those, `accuracy.py` reports what each model's own threshold
does to test frames.
"""

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from qc_worker.domain.calibration import Calibration, smallest_alpha
from qc_worker.domain.inspection import Verdict

ALPHAS = (0.01, 0.02, 0.05, 0.1, 0.2)
REVIEW_FACTOR = 2
"""The review rate is this multiple of alpha."""


@dataclass(frozen=True, slots=True)
class FalseRejects:
    """Means over all splits, as shares of new good frames or of defects."""

    alpha: float
    review_rate: float
    calibration_frames: int
    new_frames: int
    false_reject_rate: float
    false_reject_spread: float
    """Standard deviation between splits: the rate of a single threshold varies."""
    false_review_rate: float
    """Share of new good frames with the verdict review."""
    escape_rate: float
    """Share of defects that are not rejected."""
    escape_rate_with_review: float
    """Share of defects that are neither rejected nor reviewed."""


def false_rejects(good: Sequence[float], defects: Sequence[float], *, splits: int, seed: int) -> list[dict[str, float]]:
    """Compute one row for each alpha that half of `good` supports. `good`: scores of frames not used for fitting."""
    n_calibration = len(good) // 2
    supported = [alpha for alpha in ALPHAS if alpha >= smallest_alpha(n_calibration)]
    return [asdict(_row(alpha, good, defects, splits, seed)) for alpha in supported]


def _row(alpha: float, good: Sequence[float], defects: Sequence[float], splits: int, seed: int) -> FalseRejects:
    random = np.random.default_rng(seed)
    n_calibration = len(good) // 2
    new: list[tuple[float, float]] = []
    missed: list[tuple[float, float]] = []
    for _ in range(splits):
        order = random.permutation(len(good))
        held_out = tuple(sorted(good[index] for index in order[:n_calibration]))
        calibration = Calibration(held_out, max_false_reject=alpha, review_rate=REVIEW_FACTOR * alpha)
        new.append(_shares(calibration, [good[index] for index in order[n_calibration:]]))
        missed.append(_shares(calibration, defects))
    rejected, reviewed = zip(*new, strict=True)
    found, doubted = zip(*missed, strict=True)
    return FalseRejects(
        alpha=alpha,
        review_rate=REVIEW_FACTOR * alpha,
        calibration_frames=n_calibration,
        new_frames=len(good) - n_calibration,
        false_reject_rate=round(statistics.mean(rejected), 4),
        false_reject_spread=round(statistics.stdev(rejected), 4),
        false_review_rate=round(statistics.mean(reviewed), 4),
        escape_rate=round(1 - statistics.mean(found), 4),
        escape_rate_with_review=round(1 - statistics.mean(found) - statistics.mean(doubted), 4),
    )


def _shares(calibration: Calibration, scores: Sequence[float]) -> tuple[float, float]:
    """Return the shares of frames rejected and reviewed."""
    verdicts = [calibration.verdict(score) for score in scores]
    return verdicts.count(Verdict.REJECT) / len(scores), verdicts.count(Verdict.REVIEW) / len(scores)
