"""Write figures as a document for JSON, and as CSV."""

import csv
import io
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from qc_dashboard.history.times import from_us
from qc_dashboard.reporting.estimates import Estimate
from qc_dashboard.reporting.figures import ASSUMPTIONS, Figures

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def document(figures: Figures) -> dict[str, Any]:
    """Return the figures for JSON: times in ISO 8601, UTC."""
    span = figures.span
    return {
        **asdict(figures),
        "span": {"line": span.line, "from": iso(span.since_us), "to": iso(span.until_us)},
        "by_verdict": {verdict.value: count for verdict, count in figures.by_verdict.items()},
        "versions": [
            {"version": one.version, "frames": one.frames, "first": iso(one.first_us), "last": iso(one.last_us)}
            for one in figures.versions
        ],
        "reviewed": [{**asdict(one), "verdict": one.verdict.value} for one in figures.reviewed],
        "assumptions": list(ASSUMPTIONS),
    }


def as_csv(figures: Figures) -> str:
    """Return the figures as CSV with the columns section, name, value; maps are left out."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(("section", "name", "value"))
    for section, name, value in _rows(figures):
        writer.writerow((section, _cell(name), "" if value is None else value))
    return text.getvalue()


def iso(us: int) -> str:
    """Return a time in ISO 8601, UTC; microseconds since 1970 if it lies outside of the calendar."""
    try:
        return from_us(us).isoformat()
    except OverflowError:
        return str(us)


def _rows(figures: Figures) -> Iterator[tuple[str, str, Any]]:
    span = figures.span
    yield from (("span", "line", _cell(span.line)), ("span", "from", iso(span.since_us)))
    yield "span", "to", iso(span.until_us)
    yield from (("total", "frames", figures.frames), ("total", "yield", figures.pass_share))
    yield "total", "late", figures.late
    yield from (("verdict", verdict.value, count) for verdict, count in figures.by_verdict.items())
    yield from (("error", reason, count) for reason, count in figures.errors_by_reason.items())
    yield from (("version", one.version, one.frames) for one in figures.versions)
    yield from (("kind", one.name, one.frames) for one in figures.by_kind)
    yield from (("camera", one.name, one.frames) for one in figures.by_camera)
    for one in figures.reviewed:
        for said in ("good", "defect", "unsure"):
            yield f"reviewed {one.verdict.value}", said, getattr(one, said)
    yield from _estimate("false rejects", figures.false_rejects)
    yield from _estimate("escapes", figures.escapes)


def _estimate(section: str, estimated: Estimate) -> Iterator[tuple[str, str, Any]]:
    yield from ((section, name, value) for name, value in asdict(estimated).items())


def _cell(text: str) -> str:
    """Keep a spreadsheet from taking a name from outside as a formula."""
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text
