"""Show the report of a shift or any span: on the screen, and on paper."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from pydantic import BeforeValidator, Field
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from qc_dashboard.api.parameters.fields import parse_time
from qc_dashboard.api.parameters.queries import query_in
from qc_dashboard.api.parts import ApiParts, api_of
from qc_dashboard.api.reports.report import DEFAULT_SPAN, ReportQuery, figures_of
from qc_dashboard.pages.report_words import drawn, estimates
from qc_dashboard.pages.searching import given
from qc_dashboard.reporting.figures import Figures
from qc_dashboard.reporting.shifts import NAMED, Between, Shifts
from qc_dashboard.web.problems import Problem
from qc_dashboard.web.rendering import render
from qc_worker.domain.inspection import Verdict

PATH = "/report"
API_PATH = "/api/v1/report"
FORM_TIME = "%Y-%m-%dT%H:%M"
SHOWN_MAPS = 6
SHOWN_NAMES = 10
SHOWN_ROWS = 40


def parse_local_time(text: object) -> datetime:
    """Parse a time of RFC 3339, or of a form's field without zone, which is the plant's. Raises ValueError."""
    try:
        return datetime.strptime(str(text), FORM_TIME)
    except ValueError:
        return parse_time(text)


LocalTime = Annotated[datetime, BeforeValidator(parse_local_time)]


@dataclass(frozen=True, slots=True)
class ReportForm(ReportQuery):
    """A report as the form asks for it."""

    since: Annotated[LocalTime | None, Field(alias="from")] = None
    """Start, included."""
    until: Annotated[LocalTime | None, Field(alias="to")] = None
    """End, excluded."""
    span: Literal["this-shift", "last-shift", "today", "yesterday"] | None = None
    """Span by its name, in place of both."""


def show_report(request: Request) -> Response:
    """Show the report; a span that is asked for by its name leads to the address of its times, which stays valid."""
    api = api_of(request)
    shifts, now, figures = api.reports.shifts, api.clock.now(), None
    query, failure = ReportForm(), ""
    between = NAMED["this-shift"][1](shifts, now)
    try:
        query = query_in(QueryParams(given(request)), ReportForm)
        if query.span is not None or (query.since is None and query.until is None):
            between = NAMED[query.span or "this-shift"][1](shifts, now)
            return RedirectResponse(_address(PATH, query.line, between), status_code=303)
        between = _between(query, shifts)
        figures = figures_of(api, query.line, between.since, between.until)
    except Problem as problem:
        failure = problem.detail
    context = {"failure": failure, **_form(api, query, between), **_shown(figures, shifts, between, now)}
    return render(request, "pages/report.html", context, status=400 if failure else 200)


def _between(query: ReportForm, shifts: Shifts) -> Between:
    """Return the span that the form asks for. Raises Problem."""
    try:
        since, until = (time and _zoned(time, shifts) for time in (query.since, query.until))
        end = until or (since + DEFAULT_SPAN if since else None)
        start = since or (end - DEFAULT_SPAN if end else None)
        if start is None or end is None:
            raise Problem(400, "Give a start and an end.")
        return Between(start.astimezone(shifts.zone), end.astimezone(shifts.zone))
    except OverflowError:
        raise Problem(400, "The span does not lie within the calendar.") from None


def _zoned(time: datetime, shifts: Shifts) -> datetime:
    return time if time.tzinfo is not None else time.replace(tzinfo=shifts.zone)


def _address(path: str, lines: tuple[str, ...], between: Between) -> str:
    times = {"from": between.since.isoformat(), "to": between.until.isoformat()}
    return f"{path}?{urlencode([*(('line', line) for line in lines), *times.items()])}"


def _form(api: ApiParts, query: ReportForm, between: Between) -> dict[str, Any]:
    """Return what the form offers, and the addresses of the same report in other forms."""
    known = api.history.lines()
    return {
        "lines": [*known, *(line for line in dict.fromkeys(query.line) if line not in known)],
        "chosen": query.line,
        "named": {name: label for name, (label, _) in NAMED.items()},
        "zone": api.reports.shifts.zone.key,
        "since": between.since.strftime(FORM_TIME),
        "until": between.until.strftime(FORM_TIME),
        "csv": _address(f"{API_PATH}.csv", query.line, between),
        "json": _address(API_PATH, query.line, between),
    }


def _shown(figures: Figures | None, shifts: Shifts, between: Between, now: datetime) -> dict[str, Any]:
    """Prepare the figures for the template."""

    def local(time: datetime | None) -> str:
        try:
            return "?" if time is None else f"{time.astimezone(shifts.zone):%Y-%m-%d %H:%M}"
        except OverflowError:
            return str(time)

    if figures is None:
        return {"figures": None}
    not_judged = figures.by_verdict[Verdict.ERROR] + figures.by_verdict[Verdict.NO_MODEL]
    return {
        "figures": figures,
        "local": local,
        "made_at": now,
        "is_open": between.until > now,
        "span_text": _span_text(between),
        "not_judged": not_judged,
        "estimates": estimates(figures),
        "maps": [drawn(one) for one in figures.maps[:SHOWN_MAPS]],
        "shown_names": SHOWN_NAMES,
        "shown_rows": SHOWN_ROWS,
    }


def _span_text(between: Between) -> str:
    is_one_day = between.since.date() == between.until.date()
    return f"{between.since:%Y-%m-%d %H:%M} to {between.until:{'%H:%M' if is_one_day else '%Y-%m-%d %H:%M'}}"
