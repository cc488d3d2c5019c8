"""Show what a search finds as a gallery, page by page."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from qc_dashboard.api.parameters.cursors import cursor_of
from qc_dashboard.api.parts import ApiParts, api_of
from qc_dashboard.api.shapes.inspections import BASE
from qc_dashboard.history.history import History
from qc_dashboard.history.search import Order, StoredInspection
from qc_dashboard.pages.searching import FormQuery, form_query, given
from qc_dashboard.pages.shown import Shown, shown
from qc_dashboard.web.problems import Problem
from qc_dashboard.web.rendering import render
from qc_worker.domain.inspection import Verdict

PAGE_SIZE = 24
PATH = "/history"
TIMELINE = "/api/v1/timeline"
PLACES = {"cursor", "before"}
TIMES = {"since", "until"}
COUNTED = {"line", "camera", "verdict", "model_version", *TIMES}
"""Conditions that the counts over time know."""
REFINING = {"camera", "frame_id", "model_version", "min_score", "max_score", "order"}
"""Fields that are folded away until one of them is filled in."""


@dataclass(frozen=True, slots=True)
class Found:
    """A page of a search."""

    inspections: tuple[Shown, ...]
    next_page: str | None
    previous_page: str | None
    first_page: str | None
    csv: str
    timeline: str
    """Where the counts over time come from."""
    whole_time: str | None
    """The same search without its times, if it has any."""


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
    page, is_first, is_last = _gallery(api.history, query)
    search = [(name, text) for name, text in fields if name not in PLACES]
    programs = _for_programs(search, query)
    return Found(
        inspections=tuple(map(shown, page)),
        next_page=None if is_last else _page(search, ("cursor", cursor_of(page[-1].place))),
        previous_page=_page(search, ("before", cursor_of(page[0].place))) if page and not is_first else None,
        first_page=None if is_first else _page(search),
        csv=f"{BASE}.csv?{urlencode(programs)}",
        timeline=f"{TIMELINE}?{urlencode([each for each in programs if each[0] in COUNTED])}",
        whole_time=_page([each for each in search if each[0] not in TIMES]) if query.since or query.until else None,
    )


def _gallery(history: History, query: FormQuery) -> tuple[list[StoredInspection], bool, bool]:
    """Return a page, and if it is the first and the last one; one more than shown says if another page follows."""
    if query.before is not None:
        back = Order.NEWEST if query.order is Order.OLDEST else Order.OLDEST
        found = history.search(query.search, order=back, after=query.before, limit=PAGE_SIZE + 1)
        if len(found) > PAGE_SIZE:
            return found[:PAGE_SIZE][::-1], False, False
    # Fewer lie before: that is the first page, filled up.
    after = query.cursor if query.before is None else None
    found = history.search(query.search, order=query.order, after=after, limit=PAGE_SIZE + 1)
    return found[:PAGE_SIZE], after is None, len(found) <= PAGE_SIZE


def _page(search: list[tuple[str, str]], *places: tuple[str, str]) -> str:
    return f"{PATH}?{urlencode([*search, *places])}"


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
        "is_search": any(name not in {*PLACES, "order"} for name, _ in fields),
        "is_refined": any(name in REFINING for name, _ in fields),
        "lines": api.history.lines(),
        "cameras": api.history.cameras(line) if line else [],
        "versions": api.history.versions(line) if line else [],
        "verdicts": list(Verdict),
        "orders": list(Order),
    }
