"""Turns anomaly scores into verdicts with a guaranteed false-reject rate (split conformal).

Vovk, Gammerman, Shafer: Algorithmic Learning in a Random World, 2005; Angelopoulos and Bates, arXiv:2107.07511.
"""

import math
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, replace

from qc_worker.domain.inspection import Verdict


@dataclass(frozen=True, slots=True)
class Calibration:
    """Scores of held-out good frames, and the limits that turn a new score into a verdict.

    `max_false_reject` (alpha) bounds the share of good frames that are rejected. Frames with a p-value up to
    `review_rate` go to review instead of passing; None: nothing goes to review. If `score_threshold` is set, it is the
    threshold, and `max_false_reject` is the rate that it guarantees (see `moved_to_score`).

    `mask_baseline` and `mask_peak` locate defects; they have no part in the verdict. Both are measured on good frames,
    in the maps that masks are made from: few pixels exceed `mask_baseline`, and the peaks of most frames exceed
    `mask_peak`. None: not measured.
    """

    scores: tuple[float, ...]
    max_false_reject: float
    review_rate: float | None = None
    score_threshold: float | None = None
    mask_baseline: float | None = None
    mask_peak: float | None = None

    def __post_init__(self) -> None:
        if not self.scores or not all(map(math.isfinite, self.scores)):
            raise ValueError("calibration needs at least one score, and finite ones only")
        if list(self.scores) != sorted(self.scores):
            raise ValueError("calibration scores must be in ascending order")
        if not smallest_alpha(len(self.scores)) <= self.max_false_reject < 1:
            raise ValueError(
                f"{len(self.scores)} held-out frames support a false-reject rate of "
                f"{smallest_alpha(len(self.scores)):.4f} or more, not {self.max_false_reject}"
            )
        if self.review_rate is not None and not self.max_false_reject < self.review_rate < 1:
            raise ValueError("review_rate must lie between max_false_reject and 1")
        if self.score_threshold is not None:
            self._check_promise(self.score_threshold)
        if not all(math.isfinite(each) for each in (self.mask_baseline, self.mask_peak) if each is not None):
            raise ValueError("mask_baseline and mask_peak must be finite numbers")

    def p_value(self, score: float) -> float:
        """Compute the share of held-out frames at least as unusual, counting this one: (1 + k) / (n + 1)."""
        at_least = len(self.scores) - bisect_left(self.scores, score)
        return (1 + at_least) / (len(self.scores) + 1)

    @property
    def threshold(self) -> float:
        """Scores above this one are rejected; they have a p-value of at most `max_false_reject`."""
        if self.score_threshold is not None:
            return self.score_threshold
        return self.score_at(self.max_false_reject)

    @property
    def review_threshold(self) -> float:
        """Scores above this one are at least reviewed; equals `threshold` without a grey zone."""
        return self.threshold if self.review_rate is None else self.score_at(self.review_rate)

    def score_at(self, alpha: float) -> float:
        """Return the highest score whose p-value still exceeds `alpha`."""
        # p <= alpha  <=>  #{scores >= s} <= k - 1, with k = floor(alpha (n + 1)).
        # The small addend keeps 0.1 * 10 from flooring to 0 by a rounding error.
        k = math.floor(alpha * (len(self.scores) + 1) + 1e-9)
        return self.scores[len(self.scores) - k]

    def rate_above(self, score: float) -> float:
        """Return the smallest false-reject rate that rejecting above `score` can guarantee.

        It is (1 + #{scores > s}) / (n + 1), the p-value of a score just above `score`; above all held-out scores it is
        1 / (n + 1), never 0.
        """
        return (1 + len(self.scores) - bisect_right(self.scores, score)) / (len(self.scores) + 1)

    def moved_to_rate(self, max_false_reject: float, *, review_rate: float | None) -> "Calibration":
        """Return the same scores with another bound on the false-reject rate. Raises ValueError."""
        return replace(self, max_false_reject=max_false_reject, review_rate=review_rate, score_threshold=None)

    def moved_to_score(self, score: float, *, review_rate: float | None) -> "Calibration":
        """Return the same scores with `score` as the threshold: everything above it is rejected. Raises ValueError."""
        rate = self.rate_above(score)
        return replace(self, max_false_reject=rate, review_rate=review_rate, score_threshold=score)

    def _check_promise(self, score: float) -> None:
        if not math.isfinite(score):
            raise ValueError("score_threshold must be a finite number")
        if not math.isclose(self.max_false_reject, self.rate_above(score), abs_tol=1e-9):
            raise ValueError(
                f"a score_threshold of {score:g} promises a false-reject rate of {self.rate_above(score):.4f}, "
                f"not {self.max_false_reject}"
            )

    def verdict(self, score: float) -> Verdict:
        """Choose reject, review or pass; a score that is not a finite number gives error, never pass."""
        if not math.isfinite(score):
            return Verdict.ERROR
        if score > self.threshold:
            return Verdict.REJECT
        if score > self.review_threshold:
            return Verdict.REVIEW
        return Verdict.PASS


def smallest_alpha(n: int) -> float:
    """Return the smallest false-reject rate that n held-out frames can guarantee."""
    return 1 / (n + 1)


def frames_needed(alpha: float) -> int:
    """Return the number of held-out frames that a false-reject rate of `alpha` needs."""
    return math.ceil(1 / alpha - 1 - 1e-9)
