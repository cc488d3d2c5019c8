"""Read a search from the form of the history page: as the API takes it, but fields may be empty, times without zone."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

from pydantic import BeforeValidator
from starlette.datastructures import QueryParams
from starlette.requests import Request

from qc_dashboard.api.inspections import SearchQuery
from qc_dashboard.api.parameters.fields import Cursor, parse_time
from qc_dashboard.api.parameters.queries import query_in


def parse_form_time(text: object) -> datetime:
    """Parse a time of RFC 3339, or of a form's field without zone, which is UTC. Raises ValueError."""
    try:
        return datetime.strptime(str(text), "%Y-%m-%dT%H:%M").replace(tzinfo=UTC)
    except ValueError:
        return parse_time(text)


FormTime = Annotated[datetime, BeforeValidator(parse_form_time)]


@dataclass(frozen=True, slots=True)
class FormQuery(SearchQuery):
    """A search as the form sends it, and the place from which it continues."""

    since: FormTime | None = None
    """Earliest time at which the frame was taken, included."""
    until: FormTime | None = None
    """Latest time at which the frame was taken, excluded."""
    cursor: Cursor | None = None
    """Place after which the page begins."""
    before: Cursor | None = None
    """Place before which the page ends."""


def form_query(request: Request) -> FormQuery:
    """Parse the form. Raises Problem with a sentence about the wrong field."""
    return query_in(QueryParams(given(request)), FormQuery)


def given(request: Request) -> list[tuple[str, str]]:
    """Return the fields that are filled in, without space around."""
    stripped = ((name, text.strip()) for name, text in request.query_params.multi_items())
    return [(name, text) for name, text in stripped if text]
