"""`qc-dashboard report`: print the figures of lines in a span of time."""

import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from qc_dashboard.reporting.estimates import Estimate
from qc_dashboard.reporting.figures import Counted, Figures, MissingData, ReportSpan
from qc_dashboard.reporting.forms import as_csv, document
from qc_dashboard.reporting.reporter import Reporter
from qc_dashboard.settings import DashboardSettings
from qc_dashboard.wiring.dashboard import migrated_database
from qc_worker.domain import names
from qc_worker.domain.errors import SettingsError
from qc_worker.observability.printing import console, plain, print_json, print_table
from qc_worker.wire.headers import parse_time

DEFAULT_SPAN = timedelta(hours=8)


def print_report(
    settings: DashboardSettings, *, lines: Sequence[str], since: str | None, until: str | None, as_json: bool, csv: bool
) -> None:
    """Print the figures as tables, JSON or CSV. Raises QcError."""
    if as_json and csv:
        raise SettingsError("--json and --csv are both given: give one of them")
    span = _span(lines, since, until)
    with migrated_database(settings) as database:
        try:
            figures = Reporter(database).figures(span)
        except ValueError as error:
            raise SettingsError(f"report: {error}") from None
    if as_json:
        print_json(document(figures))
    elif csv:
        sys.stdout.write(as_csv(figures))
    else:
        _print(figures)


def _span(lines: Sequence[str], since: str | None, until: str | None) -> ReportSpan:
    try:
        named = tuple(map(names.line_name, lines))
    except ValueError as error:
        raise SettingsError(f"--line: {error}") from None
    end = _time("--to", until) if until else datetime.now(UTC)
    start = _time("--from", since) if since else end - DEFAULT_SPAN
    if start >= end:
        raise SettingsError(f"--from {start.isoformat()} is not before --to {end.isoformat()}")
    return ReportSpan(named, start, end)


def _time(option: str, text: str) -> datetime:
    try:
        return parse_time(text)
    except (ValueError, OverflowError, OSError):
        raise SettingsError(
            f"{option} {text[:80]!r} is not a time: give ISO 8601 with an offset, as 2026-11-23T06:00:00+01:00"
        ) from None


def _print(figures: Figures) -> None:
    to, span = console(), figures.span
    lines = ", ".join(map(plain, span.lines)) or "all lines"
    to.print(f"{lines}, {span.since.isoformat()} to {span.until.isoformat()}")
    for gap in figures.missing:
        to.print(f"no data from {_end(gap.since)} to {_end(gap.until)}: {_plainly(gap)}")
    verdicts = [(verdict.value, str(count)) for verdict, count in figures.by_verdict.items()]
    errors = [(f"error: {reason}", str(count)) for reason, count in figures.errors_by_reason.items()]
    totals = [("yield", "" if figures.pass_share is None else f"{figures.pass_share:.2%}"), ("late", str(figures.late))]
    print_table(("frames", "count"), [*verdicts, *errors, *totals], total=("all", str(figures.frames)), right=(1,))
    versions = [
        (one.line or "", one.version, str(one.frames), one.first.isoformat(), one.last.isoformat())
        for one in figures.versions
    ]
    print_table(("line", "version", "frames", "first", "last"), versions, right=(2,))
    _print_pareto("confirmed defects by kind", figures.by_kind)
    _print_pareto("rejects and reviews by camera", figures.by_camera)
    reviewed = [
        (one.verdict.value, *map(str, (one.frames, one.good, one.defect, one.unsure))) for one in figures.reviewed
    ]
    print_table(("verdict", "frames", "said good", "said defect", "said unsure"), reviewed, right=(1, 2, 3, 4))
    estimates = [_estimate("false rejects", figures.false_rejects), _estimate("escapes", figures.escapes)]
    print_table(
        ("estimated", "frames", "reviewed", "wrong", "estimate", "at least", "at most"), estimates, right=range(1, 7)
    )
    for assumption in figures.assumptions:
        to.print(f"- {assumption}")


def _end(time: datetime | None) -> str:
    return "?" if time is None else time.isoformat()


def _plainly(gap: MissingData) -> str:
    count = "" if gap.records is None else f" (up to {gap.records} inspections)"
    return f"{plain(gap.reason)}{count}"


def _print_pareto(title: str, entries: tuple[Counted, ...]) -> None:
    rows = [(one.name, str(one.frames), f"{one.share:.1%}", f"{one.cumulative:.1%}") for one in entries]
    if rows:
        print_table((title, "frames", "share", "cumulative"), rows, right=(1, 2, 3))


def _estimate(name: str, one: Estimate) -> tuple[str, ...]:
    estimated = "unknown" if one.estimated is None else f"{one.estimated:.1f}"
    return name, str(one.frames), str(one.reviewed), str(one.wrong), estimated, str(one.low), str(one.high)
