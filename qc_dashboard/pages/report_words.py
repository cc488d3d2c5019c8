"""Say in plain sentences what estimates mean, and prepare maps of defects to be drawn."""

from dataclasses import dataclass

from qc_dashboard.api.shapes.inspections import links_of
from qc_dashboard.reporting.estimates import Estimate
from qc_dashboard.reporting.figures import DefectMap, Figures

FAINTEST = 0.15
"""Opacity of a cell with one defect; that of the cell with most is 0.85."""
VERTICALLY = ("top", "middle", "bottom")
HORIZONTALLY = ("left", "centre", "right")


@dataclass(frozen=True, slots=True)
class Said:
    """An estimate in words."""

    title: str
    headline: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of a map that has defects."""

    x: int
    y: int
    opacity: float


@dataclass(frozen=True, slots=True)
class DrawnMap:
    """A map as it is drawn: over a picture, if there is one."""

    title: str
    words: str
    columns: int
    rows: int
    width: int
    height: int
    cells: tuple[Cell, ...]
    picture: str | None


def estimates(figures: Figures) -> tuple[Said, Said]:
    """Say how many rejects were good parts, and how many defects passed."""
    return _false_rejects(figures.false_rejects), _escapes(figures.escapes)


def drawn(one: DefectMap) -> DrawnMap:
    """Prepare a map."""
    most = max((count for row in one.counts for count in row), default=0)
    places = [(x, y, count) for y, row in enumerate(one.counts) for x, count in enumerate(row) if count]
    cells = tuple(Cell(x, y, round(FAINTEST + 0.7 * count / most, 3)) for x, y, count in places)
    rows, columns = len(one.counts), len(one.counts[0])
    height, width = one.image_size or (3, 4)
    title = f"{one.line or 'No line'}, {one.camera or 'no camera named'}"
    words = f"{_number(one.defects, 'defect')} on {_number(one.frames, 'frame')}"
    if places:
        x, y, count = max(places, key=lambda place: place[2])
        where = f"{VERTICALLY[y * 3 // rows]} {HORIZONTALLY[x * 3 // columns]}"
        words += f", densest at the {where} ({count:,})"
    picture = links_of(one.picture).frame if one.picture else None
    return DrawnMap(title, f"{words}.", columns, rows, width, height, cells, picture)


def _false_rejects(one: Estimate) -> Said:
    title = "Good parts among the rejects"
    if not one.frames:
        return Said(title, "none", "There were no rejects.")
    if not one.reviewed:
        sentence = f"Nobody has reviewed any of the {one.frames:,} rejects, so nobody knows. Review some of them."
        return Said(title, "not known", sentence)
    good = f"{one.wrong:,} of those {'was' if one.wrong == 1 else 'were'} good"
    known = f"People reviewed {one.reviewed:,} of {_number(one.frames, 'reject')}; {good}."
    return Said(title, _about(one), f"{known} {_of_all(one, 'rejects', 'were good parts')}")


def _escapes(one: Estimate) -> Said:
    title = "Defects among the passes"
    if not one.frames:
        return Said(title, "none", "There were no passes.")
    if not one.reviewed:
        sentence = (
            "No pass that was chosen at random was reviewed, so nobody knows how many of "
            f"{_number(one.frames, 'pass', 'passes')} had a defect. Review passes to find out."
        )
        return Said(title, "not known", sentence)
    known = (
        f"People reviewed {one.reviewed:,} of {_number(one.frames, 'pass', 'passes')}, chosen at random; "
        f"{one.wrong:,} of those had a defect."
    )
    return Said(title, _about(one), f"{known} {_of_all(one, 'passes', 'had a defect that got through')}")


def _about(one: Estimate) -> str:
    if one.low == one.high:
        return f"{one.low:,}"
    return f"{one.low:,} to {one.high:,}" if one.estimated is None else f"about {one.estimated:,.0f}"


def _of_all(one: Estimate, frames: str, were: str) -> str:
    if one.reviewed == one.frames:
        return "All were reviewed, so this is no estimate."
    interval = f"between {one.low:,} and {one.high:,}"
    if one.estimated is None:
        return f"Of all {one.frames:,} {frames}, {interval} {were} ({one.confidence * 100:.0f} % certain)."
    likely = f"about {one.estimated:,.0f}"
    return f"So of all {one.frames:,} {frames}, {likely} {were}: {interval} ({one.confidence * 100:.0f} % certain)."


def _number(count: int, one: str, many: str = "") -> str:
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"
