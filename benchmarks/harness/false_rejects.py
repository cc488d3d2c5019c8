"""Does the threshold keep its promise? Good frames split at random, over and over, into calibration and new ones.

Split conformal promises at most alpha of new good frames rejected, on average over splits, if calibration and new
frames are exchangeable. Frames drawn at random from one pool are. Frames of one physical part taken under several
lights are alike, and a pool mixes them: that keeps the average and widens its spread; a line whose parts come in
batches with a look of their own is not covered by this experiment: `accuracy.py` says beside it what each model's own
threshold does to test frames.
"""

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from qc_worker.domain.calibration import Calibration, smallest_alpha
from qc_worker.domain.inspection import Verdict

ALPHAS = (0.01, 0.02, 0.05, 0.1, 0.2)
REVIEW_FACTOR = 2
"""The grey zone goes up to this multiple of alpha."""


@dataclass(frozen=True, slots=True)
class FalseRejects:
    """Means over all splits; shares of new good frames and of defects."""

    alpha: float
    review_rate: float
    calibration_frames: int
    new_frames: int
    false_reject_rate: float
    false_reject_spread: float
    """Standard deviation between splits: one threshold's own rate varies."""
    false_review_rate: float
    """New good frames that go to review and are not rejected."""
    escape_rate: float
    """Defects that are not rejected."""
    escape_rate_with_review: float
    """Defects that are neither rejected nor reviewed."""


def false_rejects(good: Sequence[float], defects: Sequence[float], *, splits: int, seed: int) -> list[dict[str, float]]:
    """One row for each alpha that half of `good`, scores of frames that nothing was fitted to, supports."""
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
    """Shares rejected and reviewed."""
    verdicts = [calibration.verdict(score) for score in scores]
    return verdicts.count(Verdict.REJECT) / len(scores), verdicts.count(Verdict.REVIEW) / len(scores)
