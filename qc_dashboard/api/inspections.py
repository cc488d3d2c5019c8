"""Search inspections, and show one of them with what belongs to it."""

from dataclasses import dataclass
from typing import ClassVar

from starlette.requests import Request
from starlette.responses import Response

from qc_dashboard.api.answers import json_answer
from qc_dashboard.api.parameters.cursors import cursor_of
from qc_dashboard.api.parameters.fields import Cursor, NeighbourCount, Number, PageSize, Text, Time
from qc_dashboard.api.parameters.positions import MISSING, source_in, stored_in
from qc_dashboard.api.parameters.queries import query_of
from qc_dashboard.api.parts import ApiParts, api_of
from qc_dashboard.api.shapes.documented import DOCUMENTED
from qc_dashboard.api.shapes.inspections import InspectionPage, NeighbourList, WholeInspection, links_of, listed
from qc_dashboard.history.search import Order, Search, StoredInspection
from qc_dashboard.history.times import from_us, to_us
from qc_dashboard.web.problems import Problem
from qc_worker.domain.inspection import Verdict


@dataclass(frozen=True, slots=True)
class SearchQuery:
    """Conditions of a search; an inspection must meet all of them."""

    __pydantic_config__: ClassVar = DOCUMENTED

    line: Text | None = None
    """Production line."""
    camera: Text | None = None
    """Camera."""
    verdict: tuple[Verdict, ...] = ()
    """Verdicts, any of them; may be given several times."""
    model_version: Text | None = None
    """Version of the model that judged."""
    part: Text | None = None
    """Serial number of the part."""
    frame_id: Text | None = None
    """The camera's id of the frame."""
    since: Time | None = None
    """Earliest time at which the frame was taken, included."""
    until: Time | None = None
    """Latest time at which the frame was taken, excluded."""
    min_score: Number | None = None
    """Lowest score, included."""
    max_score: Number | None = None
    """Highest score, included."""
    order: Order = Order.NEWEST
    """Newest or oldest first."""

    @property
    def search(self) -> Search:
        return Search(
            line=self.line,
            camera=self.camera,
            verdicts=self.verdict,
            model_version=self.model_version,
            part=self.part,
            frame_id=self.frame_id,
            since_us=None if self.since is None else to_us(self.since),
            until_us=None if self.until is None else to_us(self.until),
            min_score=self.min_score,
            max_score=self.max_score,
        )


@dataclass(frozen=True, slots=True)
class PageQuery(SearchQuery):
    """A search, and which page of it."""

    limit: PageSize = 50
    """Most inspections on the page."""
    cursor: Cursor | None = None
    """`next` of the page before; missing: the first page."""


@dataclass(frozen=True, slots=True)
class NeighbourQuery:
    """Number of neighbours."""

    __pydantic_config__: ClassVar = DOCUMENTED

    count: NeighbourCount = 3
    """Most neighbours on each side."""


def search_inspections(request: Request) -> Response:
    """Answer with a page of what meets the search."""
    query = query_of(request, PageQuery)
    history = api_of(request).history
    # One more than asked for says if another page follows.
    found = history.search(query.search, order=query.order, after=query.cursor, limit=query.limit + 1)
    page = found[: query.limit]
    following = cursor_of(page[-1].place) if len(found) > len(page) else None
    return json_answer(InspectionPage(tuple(map(listed, page)), following))


def show_inspection(request: Request) -> Response:
    """Answer with one inspection, whole."""
    return json_answer(whole_of(api_of(request), stored_in(request)))


def whole_of(api: ApiParts, stored: StoredInspection) -> WholeInspection:
    """Complete an inspection with what people said about it."""
    return WholeInspection(
        inspection=stored.inspection,
        taken_at=from_us(stored.taken_us),
        results_partition=stored.results_partition,
        results_offset=stored.results_offset,
        feedback=tuple(api.outcomes.on(stored.source)),
        links=links_of(stored.source),
    )


def show_neighbours(request: Request) -> Response:
    """Answer with the inspections of the same line and camera before and after it."""
    query = query_of(request, NeighbourQuery)
    found = api_of(request).history.neighbours(source_in(request), count=query.count)
    if found is None:
        raise Problem(404, MISSING)
    return json_answer(NeighbourList(tuple(map(listed, found.before)), tuple(map(listed, found.after))))
