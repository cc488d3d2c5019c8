"""Take words on leased frames, take them back, and list the last ones of a page."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import BeforeValidator, Field, TypeAdapter
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from qc_dashboard.api.answers import json_answer
from qc_dashboard.api.feedback.words import word_of
from qc_dashboard.api.parameters.bodies import body_of
from qc_dashboard.api.parameters.fields import parse_integer
from qc_dashboard.api.parameters.queries import query_of
from qc_dashboard.api.parts import api_of
from qc_dashboard.api.review.claiming import review_frame
from qc_dashboard.api.review.given import GivenSession, GivenWord, Session
from qc_dashboard.api.review.reviewers import review_errors, reviewer_of
from qc_dashboard.api.review.shapes import ReviewWord, ReviewWords, Undone
from qc_dashboard.api.shapes.documented import DOCUMENTED
from qc_dashboard.api.shapes.inspections import links_of
from qc_dashboard.history.times import from_us
from qc_dashboard.review.wanted import Said, UnknownFrame
from qc_dashboard.web.requests import note_for_audit

GIVEN, SESSION = TypeAdapter(GivenWord), TypeAdapter(GivenSession)
MAX_WORDS = 50
WordCount = Annotated[int, Field(ge=1, le=MAX_WORDS), BeforeValidator(parse_integer)]


async def judge_frame(request: Request) -> Response:
    """Store a word on a frame that the page has; it is sent to `feedback` until the broker has it."""
    given = await body_of(request, GIVEN)
    return await run_in_threadpool(_judge, request, given)


async def undo_word(request: Request) -> Response:
    """Take back the page's last word, and lease its frame to the page again."""
    given = await body_of(request, SESSION)
    return await run_in_threadpool(_undo, request, given)


@dataclass(frozen=True, slots=True)
class WordsQuery:
    """Which page's words, and how many."""

    __pydantic_config__: ClassVar = DOCUMENTED

    session: Session
    """Id of the page."""
    count: WordCount = 10
    """Most words."""


def show_words(request: Request) -> Response:
    """Answer with the last words of the page, and if they were sent."""
    query, review = query_of(request, WordsQuery), api_of(request).review
    found = review.recent.of(reviewer_of(request, query.session), count=query.count)
    return json_answer(ReviewWords(tuple(shown_word(one.said, undone=one.undone) for one in found), review.unsent()))


def shown_word(said: Said, *, undone: bool = False) -> ReviewWord:
    """Make the shape of a word."""
    return ReviewWord(
        id=said.id,
        source=said.source,
        line=said.line,
        verdict=said.word.verdict,
        kind=said.word.kind,
        boxes=said.word.boxes,
        accepted_at=from_us(said.accepted_us),
        accepted_by=said.accepted_by,
        model_version=said.model_version,
        sent=said.sent,
        undone=undone,
        links=links_of(said.source),
    )


def _judge(request: Request, given: GivenWord) -> Response:
    api = api_of(request)
    with review_errors():
        stored = api.history.inspection(given.source.position)
        if stored is None:
            raise UnknownFrame("the history has no inspection of that frame")
        word = word_of(given.judgement, stored)
        said = api.review.judge(reviewer_of(request, given.session), stored.source, word)
    note_for_audit(request, f"{said.source} {said.word.verdict} {said.word.kind or ''}".strip())
    return json_answer(shown_word(said))


def _undo(request: Request, given: GivenSession) -> Response:
    api, reviewer = api_of(request), reviewer_of(request, given.session)
    with review_errors():
        said = api.review.undo(reviewer)
    leased = api.review.queue.leased_to(reviewer, said.source)
    note_for_audit(request, f"{said.source} {said.word.verdict}")
    return json_answer(Undone(shown_word(said), None if leased is None else review_frame(api, leased)))
