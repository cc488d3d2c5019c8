"""Show what a search finds as a gallery, page by page."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from qc_dashboard.api.parameters.cursors import cursor_of
from qc_dashboard.api.parts import ApiParts, api_of
from qc_dashboard.api.shapes.inspections import BASE
from qc_dashboard.history.search import Order
from qc_dashboard.pages.searching import FormQuery, form_query, given
from qc_dashboard.pages.shown import Shown, shown
from qc_dashboard.web.problems import Problem
from qc_dashboard.web.rendering import render
from qc_worker.domain.inspection import Verdict

PAGE_SIZE = 24
PATH = "/history"
REFINING = {"camera", "frame_id", "model_version", "min_score", "max_score", "order"}
"""Fields that are folded away until one of them is filled in."""


@dataclass(frozen=True, slots=True)
class Found:
    """A page of a search."""

    inspections: tuple[Shown, ...]
    next_page: str | None
    first_page: str | None
    csv: str


def show_history(request: Request) -> Response:
    """Show the form and what it finds; a wrong field is named above the form."""
    api = api_of(request)
    try:
        query, failure = form_query(request), None
    except Problem as problem:
        query, failure = FormQuery(), problem.detail
    found = None if failure else _found(api, query, given(request))
    context = {"found": found, "failure": failure, **_form(request, api, query)}
    return render(request, "pages/history.html", context, status=400 if failure else 200)


def _found(api: ApiParts, query: FormQuery, fields: list[tuple[str, str]]) -> Found:
    # One more than shown says if another page follows.
    stored = api.history.search(query.search, order=query.order, after=query.cursor, limit=PAGE_SIZE + 1)
    page = stored[:PAGE_SIZE]
    search = [(name, text) for name, text in fields if name != "cursor"]
    return Found(
        inspections=tuple(map(shown, page)),
        next_page=_page(search, cursor_of(page[-1].place)) if len(stored) > PAGE_SIZE else None,
        first_page=_page(search) if query.cursor else None,
        csv=f"{BASE}.csv?{urlencode(_for_programs(search, query))}",
    )


def _page(search: list[tuple[str, str]], cursor: str | None = None) -> str:
    return f"{PATH}?{urlencode([*search, *([('cursor', cursor)] if cursor else [])])}"


def _for_programs(search: list[tuple[str, str]], query: FormQuery) -> list[tuple[str, str]]:
    """Write times with their zone, as the API takes them."""
    times = {"since": query.since, "until": query.until}
    with_zone = [(name, time.isoformat()) for name, time in times.items() if time]
    return [*((name, text) for name, text in search if name not in times), *with_zone]


def _form(request: Request, api: ApiParts, query: FormQuery) -> dict[str, Any]:
    """Return what the form offers and what was typed into it."""
    line = query.line
    fields = given(request)
    return {
        "typed": dict(fields),
        "chosen": {text for name, text in fields if name == "verdict"},
        "is_search": any(name not in {"cursor", "order"} for name, _ in fields),
        "is_refined": any(name in REFINING for name, _ in fields),
        "lines": api.history.lines(),
        "cameras": api.history.cameras(line) if line else [],
        "versions": api.history.versions(line) if line else [],
        "verdicts": list(Verdict),
        "orders": list(Order),
    }
