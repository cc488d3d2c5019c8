"""Summarise runs: each side on each product over its seeds, and over all products."""

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

from benchmarks.products.one_run import Figures, Run
from benchmarks.products.ours import OURS

Amounts = dict[str, float | None]

LOWER_IS_BETTER = frozenset({"false_reject_rate", "mask_area_ratio", "mask_area_ratio_at_5", "train_s", "judge_s"})
AUROC = "image_auroc"


@dataclass(frozen=True, slots=True)
class Row:
    """One side on one product."""

    input_size: tuple[int, int]
    levels: tuple[int, ...]
    frames: int
    """Number of good frames for fitting with the first seed."""
    mean: Amounts
    worst: Amounts
    """Worst value of a single seed."""
    spread: Amounts
    """Standard deviation between seeds."""
    by_defect: dict[str, Amounts]
    """Means over seeds."""
    seeds: dict[str, Amounts]


@dataclass(frozen=True, slots=True)
class Overall:
    """One side over all products, from the means over seeds."""

    products: int
    mean: Amounts
    worst: Amounts
    worst_product: str
    """Product with the lowest image AUROC."""


@dataclass(frozen=True, slots=True)
class Duel:
    """Comparison of ours with the best rival on one product."""

    ours: float
    rival: str
    of_rival: float
    ahead: float


@dataclass(frozen=True, slots=True)
class Contest:
    """Comparison of ours with the rivals at one input size, by image AUROC."""

    sides: list[str]
    """Each method with its best levels in the mean over products; chosen by labels, in favour of the rivals."""
    products: dict[str, Duel]
    ahead_of_better_mean: float
    """Our mean over products minus that of the better method."""
    mean_ahead: float
    """Mean over products of the lead over the better method on each."""
    furthest_behind: float
    """Smallest lead over the better method; negative if ours is behind on a product."""


Rows = Mapping[str, Mapping[str, Row]]
"""By side, then by product."""


@dataclass(frozen=True, slots=True)
class Summary:
    """Rows, totals and comparisons of all runs."""

    rows: Rows
    overall: Mapping[str, Overall]
    """By side."""
    contests: Mapping[str, Contest]
    """Comparisons by the input size of the rivals."""


def row_of(runs: Sequence[Run]) -> Row:
    """Summarise the runs of one side and product, one run for each seed."""
    amounts = [amounts_of(run) for run in runs]
    kinds = [{kind: _of_figures(figures) for kind, figures in run.by_defect.items()} for run in runs]
    return Row(
        input_size=runs[0].input_size,
        levels=runs[0].levels,
        frames=runs[0].frames,
        mean=_each(amounts, statistics.mean),
        worst=worst_of(amounts),
        spread=_each(amounts, lambda known: statistics.stdev(known) if len(known) > 1 else None),
        by_defect={kind: _each([of_run[kind] for of_run in kinds], statistics.mean) for kind in kinds[0]},
        seeds={str(run.seed): _rounded(of_run) for run, of_run in zip(runs, amounts, strict=True)},
    )


def overall_of(rows: Mapping[str, Row]) -> Overall:
    """Summarise the rows of one side, given by product."""
    means = [row.mean for row in rows.values()]
    return Overall(
        products=len(rows),
        mean=_each(means, statistics.mean),
        worst=worst_of(means),
        worst_product=min(rows, key=lambda product: rows[product].mean[AUROC] or 0.0),
    )


def contest(rows: Rows, sides: Sequence[str]) -> Contest:
    """Compare ours with these sides; all have the same products."""
    ours = rows[OURS]
    duels = {product: _duel(rows, sides, product) for product in ours}
    leads = [duel.ahead for duel in duels.values()]
    means = {side: overall_of(rows[side]).mean[AUROC] or 0.0 for side in sides}
    return Contest(
        sides=list(sides),
        products=duels,
        ahead_of_better_mean=round((overall_of(ours).mean[AUROC] or 0.0) - max(means.values()), 4),
        mean_ahead=round(statistics.mean(leads), 4),
        furthest_behind=min(leads),
    )


def _duel(rows: Rows, sides: Sequence[str], product: str) -> Duel:
    of_sides = {side: rows[side][product].mean[AUROC] or 0.0 for side in sides}
    rival = max(of_sides, key=lambda side: of_sides[side])
    ours = rows[OURS][product].mean[AUROC] or 0.0
    return Duel(ours, rival, of_sides[rival], round(ours - of_sides[rival], 4))


def best_of(rows: Rows, sides: Iterable[str]) -> str:
    """Return the side with the highest mean image AUROC over products."""
    return max(sides, key=lambda side: overall_of(rows[side]).mean[AUROC] or 0.0)


def amounts_of(run: Run) -> Amounts:
    """Return all figures of a run by name; `train_s` is None if any features came from the cache."""
    own = run.own
    of_masks = asdict(own.mask_overlap) if own and own.mask_overlap else {}
    of_masks_at_5 = asdict(own.mask_overlap_at_5) if own and own.mask_overlap_at_5 else {}
    return {
        **_of_figures(run.overall),
        "reject_rate": own.reject_rate if own else None,
        "false_reject_rate": own.false_reject_rate if own else None,
        "max_false_reject": own.max_false_reject if own else None,
        "mask_iou": of_masks.get("iou"),
        "mask_area_ratio": of_masks.get("area_ratio"),
        "mask_iou_at_5": of_masks_at_5.get("iou"),
        "mask_area_ratio_at_5": of_masks_at_5.get("area_ratio"),
        "train_s": None if run.features_cached else run.train_s,
        "train_s_features_cached": run.train_s if run.features_cached else None,
        "judge_s": run.judge_s,
    }


def _of_figures(figures: Figures) -> Amounts:
    recall: Amounts = {f"recall_at_{rate}": share for rate, share in figures.recall_at.items()}
    return {AUROC: figures.image_auroc, **recall, "pixel_auroc": figures.pixel_auroc, "aupro": figures.aupro}


def worst_of(amounts: Sequence[Amounts]) -> Amounts:
    """Return the worst value of each figure."""
    lowest, highest = _each(amounts, min), _each(amounts, max)
    return {name: highest[name] if name in LOWER_IS_BETTER else lowest[name] for name in amounts[0]}


def _each(amounts: Sequence[Amounts], merge: Callable[[list[float]], float | None]) -> Amounts:
    """Merge each figure over the amounts that have it; None if no amount has it."""
    merged: Amounts = {}
    for name in amounts[0]:
        known = [amount for of_one in amounts if (amount := of_one[name]) is not None]
        merged[name] = merge(known) if known else None
    return _rounded(merged)


def _rounded(amounts: Amounts) -> Amounts:
    return {name: None if amount is None else round(amount, 4) for name, amount in amounts.items()}
