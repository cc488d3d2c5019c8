"""Which good samples fit the head and which are held out to calibrate its threshold."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import structlog

from qc_worker.domain.calibration import frames_needed, smallest_alpha
from qc_worker.domain.errors import TrainingError

DEFAULT_MAX_FALSE_REJECT = 0.01
HOLD_OUT_SHARE = 0.2
MIN_GOOD_SAMPLES = 20

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Split:
    """Sample ids; every good sample is in exactly one of the two."""

    training: tuple[str, ...]
    calibration: tuple[str, ...]


def split_samples(samples: Sequence[str], *, alpha: float, seed: int) -> Split:
    """Draw the held-out samples; the same ids, alpha and seed always give the same split."""
    ordered = sorted(samples)
    held_out = hold_out_count(len(ordered), alpha)
    order = np.random.default_rng(seed).permutation(len(ordered))
    return Split(
        training=tuple(ordered[i] for i in sorted(order[held_out:])),
        calibration=tuple(ordered[i] for i in sorted(order[:held_out])),
    )


def choose_alpha(n_samples: int, requested: float | None) -> float:
    """The false-reject rate to guarantee: the one asked for, else 0.01, else the smallest that the samples support.

    Raises TrainingError if there are too few samples at all, or for the rate that was asked for.
    """
    if n_samples < MIN_GOOD_SAMPLES:
        raise TrainingError(f"{n_samples} good samples are too few: import at least {MIN_GOOD_SAMPLES}")
    supported = smallest_alpha(n_samples // 2)
    wanted = DEFAULT_MAX_FALSE_REJECT if requested is None else requested
    if wanted >= supported:
        return wanted
    if requested is not None:
        raise TrainingError(
            f"{n_samples} good samples support a false-reject rate of {_rounded_up(supported)} at the least; "
            f"{requested:g} takes {2 * frames_needed(requested)} samples (half of them are held out)"
        )
    log.warning(
        "too few samples for the default false-reject rate",
        good_samples=n_samples,
        wanted=wanted,
        guaranteed=round(supported, 4),
        samples_for_wanted=2 * frames_needed(wanted),
    )
    return supported


def hold_out_count(n_samples: int, alpha: float) -> int:
    """A fifth of the samples, more if `alpha` takes more, never over half."""
    return min(max(math.ceil(HOLD_OUT_SHARE * n_samples), frames_needed(alpha)), n_samples // 2)


def _rounded_up(rate: float) -> float:
    # Rounded to nearest, the rate shown could be one that is refused when it is asked for.
    return math.ceil(rate * 10_000) / 10_000
