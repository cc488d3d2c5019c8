"""Draw charts as inline SVG: score histograms on one axis, and the ROC curve. `page.html` defines the colours."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trainer.report.markup import percent, rate_name, text

Curve = npt.NDArray[np.float64]

HEIGHT = 300
LEFT, TOP, BOTTOM = 44, 26, 262
HISTOGRAM_WIDTH, ROC_WIDTH = 1140, 560
RIGHT_MARGIN = 20
BINS = 40
MAX_BINS_BEYOND = 1.5
"""If the range of scores is this many times the range without the highest 2 %, the last bar holds all higher scores."""


@dataclass(frozen=True, slots=True)
class Scale:
    """Linear mapping from values to pixels."""

    low: float
    high: float
    start_px: float
    end_px: float

    def at(self, value: float) -> float:
        """Return the pixel of a value, rounded to a tenth."""
        share = (value - self.low) / (self.high - self.low)
        return round(self.start_px + share * (self.end_px - self.start_px), 1)

    def ticks(self, wanted: int = 6) -> list[float]:
        """Return about `wanted` round values in the range."""
        rough = (self.high - self.low) / wanted
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))
        return [number * step for number in range(math.ceil(self.low / step), math.floor(self.high / step + 1e-9) + 1)]


@dataclass(frozen=True, slots=True)
class Mark:
    """A point on the ROC curve."""

    false_rejects: float
    recall: float
    label: str
    is_own: bool = False
    """True for the point at the model's own threshold."""


@dataclass(frozen=True, slots=True)
class Bins:
    """Bars of equal width with an edge at the threshold. Bar k covers (edge k - 1, edge k]."""

    threshold: float
    width: float
    first: int
    last: int
    pooled: bool
    """True if the last bar also holds all higher scores."""

    def edge(self, number: int) -> float:
        return self.threshold + number * self.width

    def count(self, scores: Sequence[float]) -> Counter[int]:
        """Count the scores in each bar; a score at the threshold lies in bar 0, which is not rejected."""
        numbers = (math.ceil((score - self.threshold) / self.width) for score in scores)
        return Counter(min(max(number, self.first), self.last) for number in numbers)


def bins_for(scores: Sequence[float], threshold: float) -> Bins:
    """Choose bars that cover all scores and the threshold."""
    low, high = min(*scores, threshold), max(*scores, threshold)
    most = max(float(np.quantile(scores, 0.98)), threshold)
    pooled = high - low > MAX_BINS_BEYOND * (most - low) > 0
    high = most + (most - low) / BINS if pooled else high
    width = (high - low) / (BINS - 1) or 1.0
    first = math.ceil((low - threshold) / width)
    return Bins(threshold, width, first, max(1, math.ceil((high - threshold) / width)), pooled)


def histogram(good: Sequence[float], defect: Sequence[float], threshold: float) -> str:
    """Draw good scores upwards and defect scores downwards, each to its own scale; wrong judgements in full colour."""
    bins = bins_for([*good, *defect], threshold)
    x = Scale(bins.edge(bins.first - 1), bins.edge(bins.last), LEFT, HISTOGRAM_WIDTH - RIGHT_MARGIN)
    upwards, downwards = (Scale(0, 1, (TOP + BOTTOM) / 2, tip_px) for tip_px in (TOP, BOTTOM))
    line_px = x.at(threshold)
    wrong_good = sum(score > threshold for score in good)
    missed = sum(score <= threshold for score in defect)
    parts = [
        _ticks(x, last_is_pooled=bins.pooled),
        _bars(bins, good, (x, upwards), "good"),
        _bars(bins, defect, (x, downwards), "defect"),
        f'<path class="axis" d="M{LEFT} {upwards.start_px}H{x.end_px}"/>',
        f'<path class="threshold" d="M{line_px} {TOP - 8}V{BOTTOM}"/>',
        _label(line_px, TOP - 12, f"threshold {threshold:.4g}", _anchor(line_px, x)),
        _label((x.start_px + x.end_px) / 2, HEIGHT - 6, "anomaly score", "middle"),
    ]
    summary = (
        f"Histogram of anomaly scores. {wrong_good} of {len(good)} good images lie above the threshold "
        f"{threshold:.4g}, {missed} of {len(defect)} images of defects do not."
    )
    return _svg(summary, HISTOGRAM_WIDTH, parts)


def roc_chart(curve: Curve, marks: Sequence[Mark], *, limit: float) -> str:
    """Draw the ROC curve up to a false-reject rate of `limit`, with marked points. Shape: `curve` (n, 2)."""
    x, y = Scale(0, limit, LEFT, ROC_WIDTH - RIGHT_MARGIN), Scale(0, 1, BOTTOM, TOP)
    shown = [mark for mark in marks if mark.false_rejects <= limit]
    chance = f'<path class="chance" d="M{x.at(0)} {y.at(0)}L{x.at(limit)} {y.at(limit)}"/>'
    parts = [
        _ticks(x, shares=True),
        *(_row(x, y, share) for share in (0, 0.25, 0.5, 0.75, 1)),
        chance,
        f'<path class="curve" d="{curve_path(curve, x, y)}"/>',
        *(_mark(mark, x, y) for mark in shown),
        _label((x.start_px + x.end_px) / 2, HEIGHT - 6, "good images rejected", "middle"),
        _label(LEFT, TOP - 10, "defects rejected", "start"),
    ]
    points = "; ".join(f"{mark.label}: {percent(mark.recall)}" for mark in shown)
    return _svg(f"ROC curve up to {percent(limit)} of good images rejected. {points}.", ROC_WIDTH, parts)


def curve_path(curve: Curve, x: Scale, y: Scale) -> str:
    """Return the part of the curve that `x` covers as a path, without points on straight stretches."""
    inside = curve[curve[:, 0] <= x.high]
    beyond = curve[curve[:, 0] > x.high]
    if len(beyond):
        (x0, y0), (x1, y1) = inside[-1], beyond[0]
        end = (x.high, y0 + (y1 - y0) * (x.high - x0) / (x1 - x0))
        inside = np.vstack([inside, end])
    points = [(x.at(px), y.at(py)) for px, py in inside.tolist()]
    # Hundreds of images may extend one straight stretch: its two ends are enough.
    bent = [p for k, p in enumerate(points) if k in (0, len(points) - 1) or not _on_line(points[k - 1 : k + 2])]
    return "M" + "L".join(f"{px:g} {py:g}" for px, py in bent)


def _on_line(three: Sequence[tuple[float, float]]) -> bool:
    (x0, y0), (x1, y1), (x2, y2) = three
    return (x0 == x1 == x2) or (y0 == y1 == y2)


def _bars(bins: Bins, scores: Sequence[float], scales: tuple[Scale, Scale], kind: str) -> str:
    """Draw the bars of one side; `scales` map scores, and shares of the tallest bar."""
    x, y = scales
    counts = bins.count(scores)
    tallest = max(counts.values())
    parts = [_label(LEFT - 8, y.end_px + (10 if y.end_px < y.start_px else 0), str(tallest), "end")]
    for number, count in sorted(counts.items()):
        left, right, end = x.at(bins.edge(number - 1)), x.at(bins.edge(number)), y.at(count / tallest)
        is_wrong = (number > 0) == (kind == "good")
        pooled = bins.pooled and number == bins.last
        where = f"above {bins.edge(number - 1):.4g}" if pooled else f"up to {bins.edge(number):.4g}"
        parts.append(
            f'<rect class="{kind}{" wrong" if is_wrong else ""}" x="{left + 0.5:g}" y="{min(y.start_px, end):g}" '
            f'width="{max(0.5, right - left - 1):.1f}" height="{abs(end - y.start_px):.1f}">'
            f"<title>{count} {text(kind)}, {where}</title></rect>"
        )
    return "".join(parts)


def _mark(mark: Mark, x: Scale, y: Scale) -> str:
    px, py = x.at(mark.false_rejects), y.at(mark.recall)
    title = f"<title>{text(mark.label)}: {percent(mark.recall)}</title>"
    if mark.is_own:
        return f'<path class="own" d="M{px} {py - 7}l7 7l-7 7l-7 -7z">{title}</path>'
    # The curve rises to the right, so the label stands below the point, or above it near the axis.
    label_py = py + 16 if py < BOTTOM - 24 else py - 9
    return f'<circle class="mark" cx="{px}" cy="{py}" r="4.5">{title}</circle>' + (
        _label(px + 6, label_py, percent(mark.recall), "start") if x.high < 1 else ""
    )


def _ticks(x: Scale, *, shares: bool = False, last_is_pooled: bool = False) -> str:
    parts = []
    for value in x.ticks(wanted=5 if shares else 12):
        px = x.at(value)
        if last_is_pooled and px > x.end_px - 90:
            continue
        label = rate_name(value) if shares else f"{value:.6g}"
        parts.append(f'<path class="grid" d="M{px} {TOP}V{BOTTOM}"/>' + _label(px, BOTTOM + 16, label, "middle"))
    if last_is_pooled:
        parts.append(_label(x.end_px, BOTTOM + 16, "and above", "end"))
    return "".join(parts)


def _row(x: Scale, y: Scale, share: float) -> str:
    py = y.at(share)
    line = f'<path class="grid" d="M{x.start_px} {py}H{x.end_px}"/>'
    return line + _label(LEFT - 6, py + 4, rate_name(share), "end")


def _label(px: float, py: float, words: str, anchor: str) -> str:
    return f'<text x="{px:g}" y="{py:g}" text-anchor="{anchor}">{text(words)}</text>'


def _anchor(px: float, x: Scale) -> str:
    if px > x.end_px - 60:
        return "end"
    return "start" if px < x.start_px + 60 else "middle"


def _svg(summary: str, width: int, parts: Sequence[str]) -> str:
    label = text(summary)
    return f'<svg class="chart" viewBox="0 0 {width} {HEIGHT}" role="img" aria-label="{label}">{"".join(parts)}</svg>'
