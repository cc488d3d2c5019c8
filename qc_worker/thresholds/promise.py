"""State the false-reject rate that a calibration promises, with the interval of what it will be."""

import math
from dataclasses import dataclass

from scipy.special import betaincinv

from qc_worker.domain.calibration import Calibration, smallest_alpha

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class FalseRejectPromise:
    """A calibration's statement about the false-reject rate on good frames like the held-out ones."""

    n: int
    """Number of held-out good frames."""
    alpha: float
    """Upper bound of the rate, on average over held-out sets."""
    smallest_alpha: float
    """Lowest bound that n frames can support."""
    interval: tuple[float, float]
    """95 % confidence interval of the rate of this threshold."""
    groups: int = 0
    """Number of groups of the held-out frames; 0 if they are not grouped."""
    group_rate: float | None = None
    """Rate on a new group, estimated by leaving out one group at a time; None with fewer than two groups."""
    group_interval: tuple[float, float] | None = None
    """95 % confidence interval of `group_rate`."""


def promise(calibration: Calibration) -> FalseRejectPromise:
    """State the rate that the calibration guarantees.

    With k = floor(alpha (n + 1)), the share of good frames below the threshold follows Beta(n + 1 - k, k) over the
    draw of the held-out frames: Vovk, "Conditional validity of inductive conformal predictors", ACML 2012;
    Angelopoulos and Bates, arXiv:2107.07511, section 3.2. The rate above it is then Beta(k, n + 1 - k).
    A threshold that was set as a score does not depend on the draw: its interval is Clopper and Pearson's for k - 1
    rejects in n frames (Biometrika 1934), which has the same upper end and a smaller lower end.
    """
    n, alpha = len(calibration.scores), calibration.max_false_reject
    k = math.floor(alpha * (n + 1) + 1e-9)
    tail = (1 - CONFIDENCE) / 2
    low, high = (float(betaincinv(k, n + 1 - k, q)) for q in (tail, 1 - tail))
    if calibration.score_threshold is not None:
        low = float(betaincinv(k - 1, n + 2 - k, tail)) if k > 1 else 0.0
    return FalseRejectPromise(n=n, alpha=alpha, smallest_alpha=smallest_alpha(n), interval=(low, high))
