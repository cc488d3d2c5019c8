"""Take what a person says about any frame, leased or not."""

from pydantic import TypeAdapter
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from qc_dashboard.api.answers import json_answer
from qc_dashboard.api.feedback.words import word_of
from qc_dashboard.api.parameters.bodies import body_of
from qc_dashboard.api.parameters.positions import stored_in
from qc_dashboard.api.parts import api_of
from qc_dashboard.api.review.judging import shown_word
from qc_dashboard.api.review.reviewers import review_errors, reviewer_of
from qc_dashboard.api.shapes.judgement import GivenJudgement
from qc_dashboard.web.requests import note_for_audit

GIVEN = TypeAdapter(GivenJudgement)
SESSION = "history"
"""Session of all words of a person that belong to no page of the review."""


async def give_feedback(request: Request) -> Response:
    """Store the judgement; it is sent to `feedback` until the broker has it."""
    given = await body_of(request, GIVEN)
    return await run_in_threadpool(_say, request, given)


def _say(request: Request, given: GivenJudgement) -> Response:
    stored = stored_in(request)
    with review_errors():
        said = api_of(request).review.say(reviewer_of(request, SESSION), stored.source, word_of(given, stored))
    note_for_audit(request, f"{said.word.verdict} {said.word.kind or ''}".strip())
    return json_answer(shown_word(said), status=202)
