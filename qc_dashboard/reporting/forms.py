"""Write figures as a document for JSON, and as CSV."""

import csv
import io
from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime
from functools import cache
from typing import Any

from pydantic import TypeAdapter

from qc_dashboard.reporting.estimates import Estimate
from qc_dashboard.reporting.figures import Figures

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def document(figures: Figures) -> dict[str, Any]:
    """Return the figures for JSON: times in ISO 8601, UTC."""
    found: dict[str, Any] = _adapter().dump_python(figures, mode="json", by_alias=True)
    return found


def as_csv(figures: Figures) -> str:
    """Return the figures as CSV with the columns section, name, value; maps are left out."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(("section", "name", "value"))
    for section, name, value in _rows(figures):
        writer.writerow((section, _cell(name), "" if value is None else value))
    return text.getvalue()


def _rows(figures: Figures) -> Iterator[tuple[str, str, Any]]:
    span = figures.span
    yield from (("span", "line", _cell(line)) for line in span.lines or [one.line or "" for one in figures.by_line])
    yield from (("span", "from", span.since.isoformat()), ("span", "to", span.until.isoformat()))
    for gap in figures.missing:
        yield "no data", f"{_end(gap.since)} to {_end(gap.until)}", gap.records
    yield from (("total", "frames", figures.frames), ("total", "yield", figures.pass_share))
    yield "total", "late", figures.late
    yield from (("verdict", verdict.value, count) for verdict, count in figures.by_verdict.items())
    yield from (("error", reason, count) for reason, count in figures.errors_by_reason.items())
    if len(figures.by_line) > 1:
        for each in figures.by_line:
            yield from ((f"line {verdict}", each.line or "", count) for verdict, count in each.by_verdict.items())
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


def _end(time: datetime | None) -> str:
    return "" if time is None else time.isoformat()


@cache
def _adapter() -> "TypeAdapter[Figures]":
    return TypeAdapter(Figures)


def _cell(text: str) -> str:
    """Keep a spreadsheet from taking a name from outside as a formula."""
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text
