"""Calibrate a threshold for frames of a new session, camera or shift, from scores of frames in groups.

Model: frames are exchangeable within a group, and groups with each other. The score of frame i of group g is

    s_gi = m + b_g + e_gi,    b_g ~ N(0, tau^2) for the group,    e_gi of any distribution for the frame,

the one-way random effects model (Searle, Casella, McCulloch: Variance Components, 1992).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv, stdtr

from qc_worker.domain.calibration import Calibration, smallest_alpha

MAX_SPREADS = 2.0
"""Largest distance from the conformal threshold, in tau. Two or three groups say little about tau: without a limit,
the tail of the t distribution would set the threshold, not the frames."""
BISECTIONS = 30

Array = NDArray[np.float64]
Rule = Callable[[list[Array], float], float]


@dataclass(frozen=True, slots=True)
class GroupCalibration:
    """A threshold for new groups, and its rate as estimated by leaving out one group at a time."""

    threshold: float
    """Scores above it are rejected; at least `pooled_threshold`."""
    pooled_threshold: float
    """Conformal threshold over all frames; it holds for frames of these groups."""
    groups: int
    rate: float | None
    """Mean over groups of the share of frames above a threshold set without that group; None with one group."""
    pooled_rate: float | None
    """`rate` with conformal thresholds instead."""
    interval: tuple[float, float] | None
    """Interval of the rate on new groups at the confidence asked for."""


def calibrate_by_groups(
    scores: Sequence[float], groups: Sequence[str], alpha: float, *, confidence: float = 0.95
) -> GroupCalibration:
    """Set the threshold that frames of a new group exceed at a rate of `alpha`, and estimate its rate.

    `groups` has the group of each score. Raises ValueError if a score has no group or is not finite.
    """
    by_group = _by_group(scores, groups)
    pooled, threshold = pooled_threshold(by_group, alpha), threshold_for_new_groups(by_group, alpha)
    rates, pooled_rates = (
        _left_out_rates(by_group, alpha, rule) for rule in (threshold_for_new_groups, pooled_threshold)
    )
    rate = None if rates is None else float(np.mean(rates))
    return GroupCalibration(
        threshold=threshold,
        pooled_threshold=pooled,
        groups=len(by_group),
        rate=rate,
        pooled_rate=None if pooled_rates is None else float(np.mean(pooled_rates)),
        interval=None if rate is None else _interval(rate, effective_frames(by_group), confidence),
    )


def pooled_threshold(by_group: list[Array], alpha: float) -> float:
    """Return the conformal threshold over all frames; the largest score if they are too few for `alpha`."""
    ascending = np.sort(np.concatenate(by_group))
    supported = max(alpha, smallest_alpha(len(ascending)))
    return Calibration(tuple(ascending.tolist()), supported).threshold


def threshold_for_new_groups(by_group: list[Array], alpha: float) -> float:
    """Return the threshold whose rate on a new group is `alpha`, within MAX_SPREADS of the conformal threshold.

    There are G groups of n_g frames with means m_g, and S = var(m_g). tau^2 is estimated as S - mean(sigma^2 / n_g). A
    new group lies c T from mean(m_g), with c = sqrt(tau^2 + S / G) and T from Student's t with G - 1 degrees of
    freedom: the normal prediction limit (Hahn, Meeker: Statistical Intervals, 1991). The rate on a new group is

        rate(t) = mean_g mean_i P(mean(m_g) + c T + e_gi > t)

    The threshold is the t with rate(t) = alpha, never below the conformal threshold over all frames.
    """
    pooled = pooled_threshold(by_group, alpha)
    spread = _spread(by_group)
    if spread is None:
        return pooled
    low, high = pooled, pooled + MAX_SPREADS * spread.tau
    if spread.rate_above(low) <= alpha:
        return low
    if spread.rate_above(high) >= alpha:
        return high
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if spread.rate_above(middle) > alpha else (low, middle)
    return high


def effective_frames(by_group: list[Array]) -> float:
    """Return the effective number of frames: n / (1 + (n / G - 1) rho) with rho = tau^2 / (tau^2 + sigma^2).

    So many independent frames would estimate a rate equally well (Kish, Survey Sampling, 1965). It is n if groups do
    not differ, and G if frames of a group do not differ.
    """
    n, spread = sum(map(len, by_group)), _spread(by_group)
    if spread is None:
        return float(n)
    rho = spread.tau**2 / (spread.tau**2 + spread.within_variance)
    return n / (1 + (n / len(by_group) - 1) * rho)


@dataclass(frozen=True, slots=True)
class _Spread:
    """Differences between groups that are larger than by chance."""

    tau: float
    scale: float
    """Scale of a new group's distance from the mean of the group means."""
    within_variance: float
    freedom: int
    frames: Array
    """Scores that the frames would have in an average group, (N,)."""
    weights: Array
    """Weights of the frames, (N,): each group has the same weight, and all sum up to 1."""

    def rate_above(self, score: float) -> float:
        """Return the share of a new group's frames that is expected above `score`."""
        return float(self.weights @ stdtr(self.freedom, (self.frames - score) / self.scale))


def _spread(by_group: list[Array]) -> _Spread | None:
    """Estimate how groups differ; None if they differ no more than by chance, or if there are too few."""
    n_groups, sizes = len(by_group), np.array([len(group) for group in by_group])
    if n_groups < 2 or sizes.sum() < 2 * n_groups:
        return None
    means = np.array([group.mean() for group in by_group])
    residuals = np.concatenate(by_group) - means.repeat(sizes)
    within_variance = float((residuals**2).sum()) / (sizes.sum() - n_groups)
    between = float(means.var(ddof=1))
    tau_squared = between - within_variance * float((1 / sizes).mean())
    if tau_squared <= 0:
        return None
    # Frames lie closer to their group's sample mean than to its true mean, by n / (n - 1) in the variance.
    widened = np.sqrt(sizes / np.maximum(sizes - 1, 1))
    return _Spread(
        tau=math.sqrt(tau_squared),
        scale=math.sqrt(tau_squared + between / n_groups),
        within_variance=within_variance,
        freedom=n_groups - 1,
        frames=float(means.mean()) + residuals * widened.repeat(sizes),
        weights=(1 / (n_groups * sizes)).repeat(sizes),
    )


def _left_out_rates(by_group: list[Array], alpha: float, rule: Rule) -> list[float] | None:
    if len(by_group) < 2:
        return None
    return [
        float((group > rule([*by_group[:left_out], *by_group[left_out + 1 :]], alpha)).mean())
        for left_out, group in enumerate(by_group)
    ]


def _interval(rate: float, n: float, confidence: float) -> tuple[float, float]:
    """Compute Clopper and Pearson's interval for `n` effective frames (Korn, Graubard, Survey Methodology, 1998)."""
    above, tail = rate * n, (1 - confidence) / 2
    low = float(betaincinv(above, n - above + 1, tail)) if above > 0 else 0.0
    high = float(betaincinv(above + 1, n - above, 1 - tail)) if above < n else 1.0
    return low, high


def _by_group(scores: Sequence[float], groups: Sequence[str]) -> list[Array]:
    labels = np.array(groups)
    values = np.array(scores, dtype=np.float64)
    if len(values) != len(labels) or not len(values) or not np.isfinite(values).all():
        raise ValueError("calibration by groups needs one group for each score, and finite scores only")
    return [values[labels == label] for label in sorted(set(groups))]
