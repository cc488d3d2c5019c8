"""Let a version go live, or the one before it again, if an engineer confirms it by typing its name."""

from collections.abc import Callable

from pydantic import TypeAdapter
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from qc_dashboard.api.answers import json_answer
from qc_dashboard.api.parameters.bodies import body_of
from qc_dashboard.api.parts import api_of
from qc_dashboard.api.shapes.versions import GivenRelease
from qc_dashboard.api.versions.asking import line_in, told_of_the_store
from qc_dashboard.web.problems import Problem
from qc_dashboard.web.requests import note_for_audit
from qc_worker.domain import names
from qc_worker.domain.release import Release, Seen

GIVEN = TypeAdapter(GivenRelease)
NOT_CONFIRMED = "The line's name that was typed is not that of this line; nothing was changed."


async def promote_version(request: Request) -> Response:
    """Let the version go live."""

    def promote(line: str, given: GivenRelease) -> Release:
        return api_of(request).versions.promote(line, given.version, seen=Seen(given.live))

    return await _released(request, promote)


async def roll_back(request: Request) -> Response:
    """Let the version before the live one go live again."""

    def rollback(line: str, given: GivenRelease) -> Release:
        return api_of(request).versions.rollback(line, to=given.version, seen=Seen(given.live))

    return await _released(request, rollback)


async def _released(request: Request, release: Callable[[str, GivenRelease], Release]) -> Response:
    line, given = line_in(request), await body_of(request, GIVEN)
    if given.line != line:
        raise Problem(422, NOT_CONFIRMED)
    try:
        names.model_version(given.version)
    except ValueError as error:
        raise Problem(422, f"version: {error}.") from None
    note_for_audit(request, f"{line}: {given.version} instead of {given.live or 'nothing'}"[:200])

    def go() -> Response:
        with told_of_the_store():
            return json_answer(release(line, given), status=202)

    return await run_in_threadpool(go)
