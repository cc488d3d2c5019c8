"""Estimate from a reviewed part how many frames of all are wrong, with an interval.

The interval inverts the exact tests of Clopper and Pearson (1934, "The use of confidence or fiducial limits illustrated
in the case of the binomial") for drawing without replacement, with the hypergeometric distribution in place of the
binomial: of a large number of frames it is theirs, and if every frame was reviewed it is the count itself.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from scipy.stats import hypergeom

from qc_dashboard.reporting.shape import SHAPE

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Estimate:
    """Number of wrong frames among all, estimated; of one interval's ends both are possible numbers."""

    __pydantic_config__: ClassVar = SHAPE

    frames: int
    """All frames of this verdict in the span."""
    reviewed: int
    """Those whose last word is `good` or `defect`, and which were chosen fairly."""
    wrong: int
    """Those reviewed that were wrong: known."""
    estimated: float | None
    """Estimated number of wrong frames; None if nothing was reviewed."""
    low: int
    """Least number of wrong frames that the review does not contradict."""
    high: int
    """Greatest such number."""
    confidence: float
    """Confidence with which the number lies between them."""


@dataclass(frozen=True, slots=True)
class Stratum:
    """Frames that were offered with one share, and what was said about those reviewed."""

    frames: int
    reviewed: int
    wrong: int


def estimate(frames: int, *, reviewed: int, wrong: int, confidence: float = CONFIDENCE) -> Estimate:
    """Estimate how many of `frames` are wrong, if `wrong` of the `reviewed` were, which were drawn at random."""
    low, high = interval(frames, reviewed=reviewed, wrong=wrong, confidence=confidence)
    estimated = frames * wrong / reviewed if reviewed else None
    return Estimate(frames, reviewed, wrong, estimated, low, high, confidence)


def estimate_of_strata(strata: Sequence[Stratum], confidence: float = CONFIDENCE) -> Estimate:
    """Estimate over strata, each with the weight of its frames.

    Each has an interval of its own; together they hold with at least the stated confidence (Bonferroni).
    """
    each = 1 - (1 - confidence) / max(1, len(strata))
    parts = [estimate(one.frames, reviewed=one.reviewed, wrong=one.wrong, confidence=each) for one in strata]
    known = [part.estimated for part in parts if part.estimated is not None]
    return Estimate(
        sum(part.frames for part in parts),
        sum(part.reviewed for part in parts),
        sum(part.wrong for part in parts),
        sum(known) if len(known) == len(parts) and parts else None,
        sum(part.low for part in parts),
        sum(part.high for part in parts),
        confidence,
    )


def interval(frames: int, *, reviewed: int, wrong: int, confidence: float = CONFIDENCE) -> tuple[int, int]:
    """Return the least and the greatest number of wrong frames that the review does not contradict."""
    if not 0 <= wrong <= reviewed <= frames:
        raise ValueError(f"{wrong} wrong of {reviewed} reviewed of {frames} cannot be")
    tail = (1 - confidence) / 2
    least, most = wrong, frames - (reviewed - wrong)

    def is_enough(all_wrong: int) -> bool:
        return bool(hypergeom.sf(wrong - 1, frames, all_wrong, reviewed) > tail)

    def is_too_many(all_wrong: int) -> bool:
        return bool(hypergeom.cdf(wrong, frames, all_wrong, reviewed) <= tail)

    low = _first(is_enough, least, most) if wrong else least
    return low, _first(is_too_many, low, most + 1) - 1


def _first(holds: Callable[[int], bool], start: int, end: int) -> int:
    """Return the first number for which a condition that stays true holds; `end` if none before it does."""
    while start < end:
        middle = (start + end) // 2
        if holds(middle):
            end = middle
        else:
            start = middle + 1
    return start
