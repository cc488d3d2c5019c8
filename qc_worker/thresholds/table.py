"""Compare operating points: the promise of each, and the verdicts it would have given."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from qc_worker.domain.calibration import Calibration, smallest_alpha
from qc_worker.domain.inspection import Inspection, Verdict
from qc_worker.thresholds.promise import FalseRejectPromise, promise

ALPHAS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2)
"""Rates to show, as far as the held-out frames support them, beside the current point and the one asked for."""


@dataclass(frozen=True, slots=True)
class RecentScores:
    """Scores of the line's last inspections that can be compared with this model's."""

    scores: tuple[float, ...]
    """Scores from this version, or from a version with the same head."""
    other_models: int
    """Number left out because a version with another head judged them: their scores cannot be compared."""
    not_judged: int
    """Number left out because they have no score: `error` and `no_model`."""


@dataclass(frozen=True, slots=True)
class Row:
    """One operating point. Shares and counts are None if there is nothing to count."""

    calibration: Calibration
    promise: FalseRejectPromise
    is_current: bool
    is_asked_for: bool
    defects_rejected: float | None
    """Share of the line's stored defects."""
    defects_reviewed: float | None
    verdicts: dict[str, int] | None
    """Counts of the last inspections by verdict."""


def operating_points(
    current: Calibration, asked_for: Calibration | None, *, review_rate: float | None
) -> list[Calibration]:
    """List calibrations to compare, by ascending rate; `review_rate` applies to rates below it."""
    points = [current] if asked_for is None or asked_for == current else [current, asked_for]
    lowest = smallest_alpha(len(current.scores))
    shown = {point.max_false_reject for point in points if point.score_threshold is None}
    for alpha in ALPHAS:
        if alpha >= lowest and alpha not in shown:
            kept = review_rate if review_rate is not None and review_rate > alpha else None
            points.append(current.moved_to_rate(alpha, review_rate=kept))
    return sorted(points, key=lambda point: (point.max_false_reject, -point.threshold))


def table(
    points: Sequence[Calibration],
    *,
    current: Calibration,
    asked_for: Calibration | None,
    defects: Sequence[float],
    recent: RecentScores | None,
) -> list[Row]:
    """Apply every operating point to the scores of stored defects and of the last inspections."""
    return [
        Row(
            calibration=point,
            promise=promise(point),
            is_current=point == current,
            is_asked_for=point == asked_for,
            defects_rejected=_share(point, defects, Verdict.REJECT),
            defects_reviewed=_share(point, defects, Verdict.REVIEW),
            verdicts=None if recent is None else verdict_counts(point, recent.scores),
        )
        for point in points
    ]


def recent_scores(inspections: Sequence[Inspection], same_head: Callable[[str], bool]) -> RecentScores:
    """Select comparable scores; calls `same_head` once for each version."""
    judged = [(i.model_version, i.score) for i in inspections if i.model_version is not None and i.score is not None]
    comparable = {version: same_head(version) for version in {version for version, _ in judged}}
    scores = tuple(score for version, score in judged if comparable[version])
    return RecentScores(scores, len(judged) - len(scores), len(inspections) - len(judged))


def _share(point: Calibration, scores: Sequence[float], verdict: Verdict) -> float | None:
    if not scores:
        return None
    return sum(point.verdict(score) is verdict for score in scores) / len(scores)


def verdict_counts(point: Calibration, scores: Sequence[float]) -> dict[str, int]:
    """Count the verdicts that an operating point would have given."""
    counted = Counter(point.verdict(score) for score in scores)
    return {verdict.value: counted[verdict] for verdict in (Verdict.PASS, Verdict.REVIEW, Verdict.REJECT)}
