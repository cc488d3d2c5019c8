"""Refuse requests: one exception, which becomes a page for people and RFC 9457 problem details for programs."""

from collections.abc import Mapping
from http import HTTPStatus

from qc_dashboard.database.failures import DatabaseAway

RETRY_AFTER_S = 5


class Problem(Exception):
    """A request that is refused: status, a sentence on what happened, and what to do."""

    def __init__(self, status: int, detail: str, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.title = title_of(status)
        self.detail = detail
        self.headers = dict(headers or {})


class BodyTooLarge(Problem):
    """The body of the request exceeds its bound."""

    def __init__(self, max_bytes: int) -> None:
        super().__init__(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"The request has more than {max_bytes} bytes.")


HEADINGS = {
    400: "The request is not valid",
    401: "Sign in first",
    403: "Not allowed",
    404: "Page not found",
    405: "Not possible here",
    413: "Too large",
    429: "Too many attempts",
    500: "Something broke",
    503: "The database does not answer",
}
"""Words of pages, for people who know no HTTP."""


def heading_of(status: int) -> str:
    """Return the heading of a page about a refusal."""
    return HEADINGS.get(status, title_of(status))


def title_of(status: int) -> str:
    """Return the words for a status."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"


def problem_of(error: Exception, request_id: str) -> Problem:
    """Turn an error of a handler into a problem; what is unexpected is not shown, only the request's id."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, DatabaseAway):
        retry = {"Retry-After": str(RETRY_AFTER_S)}
        detail = "The history database does not answer. The page works again once it does; nothing was changed."
        return Problem(HTTPStatus.SERVICE_UNAVAILABLE, detail, headers=retry)
    detail = f"This is a defect of the dashboard. Its log has the cause under request {request_id}."
    return Problem(HTTPStatus.INTERNAL_SERVER_ERROR, detail)
