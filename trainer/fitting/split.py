"""Split good samples into those that the head is fitted to and those that calibrate its threshold."""

import math
from collections.abc import Mapping, Sequence
from enum import StrEnum

import structlog

from qc_worker.domain.calibration import frames_needed, smallest_alpha
from qc_worker.domain.errors import TrainingError
from trainer.fitting.folds import Fold, folds, members, rank, without

DEFAULT_MAX_FALSE_REJECT = 0.01
HOLD_OUT_SHARE = 0.2
"""Smallest share of the samples that `split` holds out."""
N_FOLDS = 3
"""Folds of `cross`; each takes a fit of its own."""
MIN_GOOD_SAMPLES = 20

log = structlog.get_logger()


class CalibrateBy(StrEnum):
    """Source of the scores that a threshold is calibrated on."""

    CROSS = "cross"
    """All good samples: each is judged by a head that was fitted without its fold; the head that goes live has all."""
    SPLIT = "split"
    """Samples that are held out for it, and judged by the head that goes live."""


def choose_folds(
    samples: Sequence[str], *, by: CalibrateBy, alpha: float, seed: int, groups: Mapping[str, str] | None = None
) -> tuple[Fold, ...]:
    """Choose the samples that heads are fitted to and judge: N_FOLDS folds, or one for `split`.

    Groups are never split; equal arguments always give the same folds.
    """
    if by is CalibrateBy.CROSS:
        return folds(samples, groups, N_FOLDS, seed)
    return (hold_out(samples, alpha=alpha, seed=seed, groups=groups),)


def hold_out(samples: Sequence[str], *, alpha: float, seed: int, groups: Mapping[str, str] | None = None) -> Fold:
    """Draw the held-out samples; equal arguments always give the same ones.

    Samples are ranked by a digest of seed and id, so a new sample moves few of the others: with m new ones, at most
    m samples are outside the calibration that were not so before, and only these need new features. With the group
    of each sample, whole groups are held out; if no groups have enough samples without being over half, groups are
    ignored.
    """
    ranked = sorted(samples, key=lambda sample: rank(sample, seed))
    held_out = hold_out_count(len(ranked), alpha)
    whole = _whole_groups(ranked, groups, frames_needed(alpha), seed) if groups else None
    if whole:
        ranked, held_out = [*whole, *without(ranked, whole)], len(whole)
    return Fold(training=tuple(sorted(ranked[held_out:])), held_out=tuple(sorted(ranked[:held_out])))


def choose_alpha(n_samples: int, requested: float | None, by: CalibrateBy) -> float:
    """Choose the false-reject rate to guarantee: as asked for, else 0.01, else the smallest that the samples support.

    Raises TrainingError if there are too few samples at all, or for the rate that was asked for.
    """
    if n_samples < MIN_GOOD_SAMPLES:
        raise TrainingError(f"{n_samples} good samples are too few: import at least {MIN_GOOD_SAMPLES}")
    share = 1 if by is CalibrateBy.CROSS else 2  # at most half of them are held out
    supported = smallest_alpha(n_samples // share)
    wanted = DEFAULT_MAX_FALSE_REJECT if requested is None else requested
    if wanted >= supported:
        return wanted
    if requested is not None:
        raise TrainingError(
            f"{n_samples} good samples support a false-reject rate of at least {_rounded_up(supported)}; "
            f"{requested:g} needs {share * frames_needed(requested)} samples"
        )
    log.warning(
        "too few samples for the default false-reject rate",
        good_samples=n_samples,
        wanted=wanted,
        guaranteed=round(supported, 4),
        samples_for_wanted=share * frames_needed(wanted),
    )
    return supported


def hold_out_count(n_samples: int, alpha: float) -> int:
    """Count the samples to hold out: a fifth, more if `alpha` takes more, never over half."""
    return min(max(math.ceil(HOLD_OUT_SHARE * n_samples), frames_needed(alpha)), n_samples // 2)


def _whole_groups(ranked: Sequence[str], groups: Mapping[str, str], needed: int, seed: int) -> list[str] | None:
    """Take whole groups in random order until there are a fifth and `needed`; None if that would be over half."""
    by_group = members(ranked, groups)
    wanted = max(math.ceil(HOLD_OUT_SHARE * len(ranked)), needed)
    held_out: list[str] = []
    for label in sorted(by_group, key=lambda label: rank(label, seed)):
        if len(held_out) < wanted and len(held_out) + len(by_group[label]) <= len(ranked) // 2:
            held_out += by_group[label]
    return held_out if len(held_out) >= needed else None


def _rounded_up(rate: float) -> float:
    # Rounded to nearest, the rate shown could itself be refused when somebody asks for it.
    return math.ceil(rate * 10_000) / 10_000
