"""Show the figures of lines in a span of time, as JSON and as CSV."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, ClassVar

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from qc_dashboard.api.answers import json_answer
from qc_dashboard.api.csv_export import MEDIA_TYPE
from qc_dashboard.api.parameters.fields import Text, Time
from qc_dashboard.api.parameters.queries import query_of
from qc_dashboard.api.parts import ApiParts, api_of
from qc_dashboard.api.shapes.documented import DOCUMENTED
from qc_dashboard.reporting.figures import Figures, ReportSpan
from qc_dashboard.reporting.forms import as_csv
from qc_dashboard.web.problems import Problem

DEFAULT_SPAN = timedelta(hours=8)
MAX_NAMED = 50


@dataclass(frozen=True, slots=True)
class ReportQuery:
    """Lines and span of a report."""

    __pydantic_config__: ClassVar = DOCUMENTED

    line: Annotated[tuple[Text, ...], Field(max_length=MAX_NAMED)] = ()
    """Line; may be given several times; missing: all lines."""
    since: Annotated[Time | None, Field(alias="from")] = None
    """Start, included; missing: 8 hours before the end."""
    until: Annotated[Time | None, Field(alias="to")] = None
    """End, excluded; missing: now. It must come after the start, 366 days at most."""


def show_report(request: Request) -> Response:
    """Answer with the figures."""
    return json_answer(_figures(request))


def export_report(request: Request) -> Response:
    """Answer with the figures as CSV."""
    headers = {"Content-Disposition": 'attachment; filename="report.csv"'}
    return Response(as_csv(_figures(request)), media_type=MEDIA_TYPE, headers=headers)


def figures_of(api: ApiParts, lines: tuple[str, ...], since: datetime, until: datetime) -> Figures:
    """Return the figures. Raises Problem for a span that no report can have."""
    try:
        return api.reports.reporter.figures(ReportSpan(lines, since, until))
    except ValueError as error:
        sentence = str(error)
        raise Problem(400, f"{sentence[0].upper()}{sentence[1:]}.") from None


def _figures(request: Request) -> Figures:
    query, api = query_of(request, ReportQuery), api_of(request)
    try:
        until = query.until or api.clock.now()
        since = query.since or until - DEFAULT_SPAN
    except OverflowError:
        raise Problem(400, "The span does not lie within the calendar.") from None
    return figures_of(api, query.line, since, until)
