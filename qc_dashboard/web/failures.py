"""Answer a request that failed: a page for people, a fragment for htmx, problem details (RFC 9457) for programs."""

from contextlib import suppress

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from qc_dashboard.web.problems import Problem, heading_of
from qc_dashboard.web.rendering import render
from qc_dashboard.web.requests import is_for_programs, is_fragment, known_identity, request_id, web_of

PROBLEM_JSON = "application/problem+json"
WORDS = {
    400: "The request could not be understood.",
    404: "There is no such page. It may have been removed, or the address has a typing error.",
    405: "This address does not accept that kind of request.",
}


async def failed(request: Request, problem: Problem) -> Response:
    """Make the answer."""
    if is_for_programs(request):
        return problem_details(request, problem)
    template = "error_fragment.html" if is_fragment(request) else "error.html"
    context = {"problem": problem, "heading": heading_of(problem.status)}
    return await run_in_threadpool(render, request, template, context, status=problem.status, headers=problem.headers)


def problem_details(request: Request, problem: Problem) -> Response:
    """Make the answer for programs."""
    body = {
        "type": "about:blank",
        "title": problem.title,
        "status": problem.status,
        "detail": problem.detail,
        "request_id": request_id(request),
    }
    return JSONResponse(body, status_code=problem.status, headers=problem.headers, media_type=PROBLEM_JSON)


async def refused_by_router(request: Request, error: Exception) -> Response:
    """Answer what no route takes; registered for Starlette's HTTPException."""
    if not isinstance(error, HTTPException):
        raise error
    if known_identity(request) is None:
        with suppress(Exception):  # the page is then shown without navigation
            request.state.identity = await run_in_threadpool(web_of(request).door.identify, request)
    problem = Problem(error.status_code, WORDS.get(error.status_code, str(error.detail)), headers=error.headers)
    return await failed(request, problem)
