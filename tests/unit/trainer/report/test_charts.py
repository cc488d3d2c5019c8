import re
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.judging.recall import roc_curve
from trainer.report.charts import Mark, Scale, bins_for, curve_path, histogram, roc_chart

SCORES = st.lists(st.floats(-50, 50, width=32), min_size=1, max_size=60)


class Shapes(HTMLParser):
    """What an SVG holds: attributes by element, and texts."""

    def __init__(self, svg: str) -> None:
        super().__init__()
        self.found: dict[str, list[dict[str, str | None]]] = {}
        self.texts: list[str] = []
        self.feed(svg)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.setdefault(tag, []).append(dict(attrs))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def counts(svg: str, kind: str, *, wrong: bool) -> int:
    """Images in the bars of a kind, by their titles."""
    words = re.findall(rf'<rect class="{kind}{" wrong" if wrong else ""}"[^>]*><title>(\d+) ', svg)
    return sum(map(int, words))


@given(good=SCORES, defect=SCORES, threshold=st.floats(-60, 60, width=32))
def test_every_score_is_in_a_bar_on_its_side_of_the_threshold(
    good: list[float], defect: list[float], threshold: float
) -> None:
    svg = histogram(good, defect, threshold)
    over = sum(score > threshold for score in good)
    caught = sum(score > threshold for score in defect)
    assert (counts(svg, "good", wrong=True), counts(svg, "good", wrong=False)) == (over, len(good) - over)
    assert (counts(svg, "defect", wrong=False), counts(svg, "defect", wrong=True)) == (caught, len(defect) - caught)


@given(scores=SCORES, threshold=st.floats(-60, 60, width=32))
def test_bars_touch_at_the_threshold_and_stay_few(scores: list[float], threshold: float) -> None:
    bins = bins_for(scores, threshold)
    assert bins.edge(0) == threshold
    assert bins.first <= 0 < bins.last
    assert bins.last - bins.first <= 43
    assert sum(bins.count(scores).values()) == len(scores)


def test_a_few_extreme_scores_do_not_squash_the_others() -> None:
    scores = [number / 100 for number in range(100)] + [1e6]
    bins = bins_for(scores, 0.5)
    assert bins.pooled
    assert bins.edge(bins.last) < 1.2
    svg = histogram(scores, scores, 0.5)
    assert "and above" in svg
    assert re.search(r"<title>\d+ defect, above ", svg)


def test_equal_scores_are_drawn_too() -> None:
    assert counts(histogram([1.0, 1.0], [1.0], 1.0), "good", wrong=False) == 2


def test_marks_lie_where_their_shares_are() -> None:
    curve = roc_curve([0.0, 1.0, 2.0, 3.0], [1.5, 4.0])
    marks = [Mark(0.05, 0.5, "5 %"), Mark(0.5, 1.0, "50 %"), Mark(0.0, 0.5, "own", is_own=True)]
    shapes = Shapes(roc_chart(curve, marks, limit=0.1))
    (point,) = shapes.found["circle"]
    assert (point["cx"], point["cy"]) == ("292.0", "144.0")  # half way on both axes
    assert [path["d"] for path in shapes.found["path"] if path["class"] == "own"] == ["M44.0 137.0l7 7l-7 7l-7 -7z"]
    assert len(Shapes(roc_chart(curve, marks, limit=1.0)).found["circle"]) == 2


def test_curve_has_its_corners_and_no_more() -> None:
    curve = np.array([[0, 0], [0, 0.25], [0, 0.5], [0.05, 0.5], [0.1, 0.5], [0.2, 1], [1, 1]])
    x, y = Scale(0, 0.1, 0, 100), Scale(0, 1, 100, 0)
    assert curve_path(curve, x, y) == "M0 100L0 50L100 50"
    assert curve_path(curve, Scale(0, 0.15, 0, 150), y) == "M0 100L0 50L100 50L150 25"


@given(low=st.floats(-1e3, 1e3), span=st.floats(1e-3, 1e4))
def test_ticks_are_round_and_within(low: float, span: float) -> None:
    scale = Scale(low, low + span, 0, 500)
    ticks = scale.ticks()
    assert 2 <= len(ticks) <= 8
    assert all(low - 1e-6 * span <= tick <= low + span * (1 + 1e-6) for tick in ticks)
    steps = np.diff(ticks)
    assert steps == pytest.approx(np.full(len(steps), steps[0]))
    assert float(f"{steps[0]:.3g}") in {float(f"{m}e{e}") for m in (1, 2, 5) for e in range(-5, 5)}
