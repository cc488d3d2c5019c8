"""Take a person's judgement on one frame."""

from pydantic import TypeAdapter
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from qc_dashboard.api.answers import json_answer
from qc_dashboard.api.feedback.judging import NotAccepted
from qc_dashboard.api.parameters.bodies import body_of
from qc_dashboard.api.parameters.positions import stored_in
from qc_dashboard.api.parts import api_of
from qc_dashboard.api.shapes.judgement import GivenJudgement
from qc_dashboard.database.failures import DatabaseAway
from qc_dashboard.web.problems import RETRY_AFTER_S, Problem
from qc_dashboard.web.requests import identity_of, note_for_audit
from qc_worker.domain.errors import TransportError

GIVEN = TypeAdapter(GivenJudgement)
AWAY = "The broker does not take the judgement at the moment; nothing was stored. Send it again."


async def give_feedback(request: Request) -> Response:
    """Send the judgement to `feedback`; it is accepted once the broker has it."""
    given = await body_of(request, GIVEN)
    return await run_in_threadpool(_send, request, given)


def _send(request: Request, given: GivenJudgement) -> Response:
    stored = stored_in(request)
    try:
        feedback = api_of(request).judging.send(stored, given, by=identity_of(request).name)
    except NotAccepted as error:
        raise Problem(422, f"The judgement cannot be kept: {error}.") from None
    except DatabaseAway:
        raise
    except TransportError:
        raise Problem(503, AWAY, headers={"Retry-After": str(RETRY_AFTER_S)}) from None
    note_for_audit(request, f"{feedback.verdict} {feedback.kind or ''}".strip())
    return json_answer(feedback, status=202)
