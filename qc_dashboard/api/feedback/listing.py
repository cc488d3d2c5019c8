"""List the last judgements of people, and what became of each."""

from dataclasses import dataclass
from typing import ClassVar

from starlette.requests import Request
from starlette.responses import Response

from qc_dashboard.accounts.roles import Role
from qc_dashboard.api.answers import json_answer
from qc_dashboard.api.describing.operation import Answer, Operation
from qc_dashboard.api.parameters.fields import PageSize, Text
from qc_dashboard.api.parameters.queries import query_of
from qc_dashboard.api.parts import api_of
from qc_dashboard.api.shapes.documented import DOCUMENTED
from qc_dashboard.outcomes.outcome import JudgementOutcome
from qc_dashboard.web.requests import identity_of
from qc_dashboard.web.routes import RoomRoute

MYSELF = "me"


@dataclass(frozen=True, slots=True)
class FeedbackQuery:
    """Whose judgements, and on which line."""

    __pydantic_config__: ClassVar = DOCUMENTED

    by: Text | None = None
    """Name of a person, or `me`; missing: everybody's."""
    line: Text | None = None
    """Production line; missing: all lines."""
    limit: PageSize = 20
    """Most judgements."""


@dataclass(frozen=True, slots=True)
class FeedbackList:
    """Judgements, newest first."""

    __pydantic_config__: ClassVar = DOCUMENTED

    feedback: tuple[JudgementOutcome, ...]
    """Judgements of people, each with what became of it."""


def list_feedback(request: Request) -> Response:
    """Answer with the last judgements, and what became of each."""
    query = query_of(request, FeedbackQuery)
    by = identity_of(request).name if query.by == MYSELF else query.by
    found = api_of(request).outcomes.last(by=by, line=query.line, limit=query.limit)
    return json_answer(FeedbackList(tuple(found)))


FEEDBACK = (
    Operation(
        RoomRoute("/api/v1/feedback", list_feedback, Role.VIEWER),
        "feedback",
        "The last judgements of people, and what became of each",
        Answer("Judgements, newest first.", FeedbackList),
        query=FeedbackQuery,
    ),
)
