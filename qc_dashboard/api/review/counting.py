"""Show and set the kinds of a line, and count what is left and who has said how much."""

from dataclasses import dataclass
from typing import ClassVar

from pydantic import TypeAdapter
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from qc_dashboard.api.answers import json_answer
from qc_dashboard.api.parameters.bodies import body_of
from qc_dashboard.api.parameters.fields import Text, Time
from qc_dashboard.api.parameters.queries import query_of
from qc_dashboard.api.parts import api_of
from qc_dashboard.api.review.given import GivenKinds
from qc_dashboard.api.review.reviewers import review_errors
from qc_dashboard.api.review.shapes import LineKindList, ReviewersWork, ReviewFigures
from qc_dashboard.api.shapes.documented import DOCUMENTED
from qc_dashboard.history.times import from_us, to_us
from qc_dashboard.review.statistics import PersonsWork
from qc_dashboard.review.wanted import Wanted
from qc_dashboard.web.requests import note_for_audit

KINDS = TypeAdapter(GivenKinds)


@dataclass(frozen=True, slots=True)
class KindsQuery:
    """Whose kinds."""

    __pydantic_config__: ClassVar = DOCUMENTED

    line: Text | None = None
    """Production line; missing: the kinds for all lines that have no list of their own."""


@dataclass(frozen=True, slots=True)
class FiguresQuery:
    """Line and span of the figures."""

    __pydantic_config__: ClassVar = DOCUMENTED

    line: Text | None = None
    """Production line; missing: all."""
    since: Time | None = None
    """Earliest time of the words, included."""
    until: Time | None = None
    """Latest time of the words, excluded."""


def show_kinds(request: Request) -> Response:
    """Answer with the line's kinds of defects."""
    line = query_of(request, KindsQuery).line or ""
    return json_answer(LineKindList(line, api_of(request).review.kinds.of(line)))


async def set_kinds(request: Request) -> Response:
    """Give a line a list of its own."""
    given = await body_of(request, KINDS)
    kinds = api_of(request).review.kinds
    with review_errors():
        await run_in_threadpool(kinds.set, given.line, given.kinds)
    note_for_audit(request, f"line {given.line}: {', '.join(given.kinds) or 'those of all lines'}")
    return json_answer(LineKindList(given.line, await run_in_threadpool(kinds.of, given.line)))


def show_figures(request: Request) -> Response:
    """Answer with what is left, and who has said how much."""
    query, review = query_of(request, FiguresQuery), api_of(request).review
    since_us = None if query.since is None else to_us(query.since)
    until_us = None if query.until is None else to_us(query.until)
    left = review.queue.left(None, Wanted(line=query.line))
    people = review.statistics.by_person(line=query.line, since_us=since_us, until_us=until_us)
    gone = review.statistics.gone(line=query.line, since_us=since_us, until_us=until_us)
    return json_answer(
        ReviewFigures(left.open, left.leased_by_others, review.unsent(), gone, tuple(map(_shown, people)))
    )


def _shown(work: PersonsWork) -> ReviewersWork:
    return ReviewersWork(
        work.person,
        work.good,
        work.defect,
        work.unsure,
        work.undone,
        work.mean_looked_s,
        from_us(work.first_us),
        from_us(work.last_us),
    )
