"""Set and read the two cookies: the session, and a secret for browsers without one, to which CSRF tokens are tied."""

from starlette.requests import Request
from starlette.responses import Response

from qc_dashboard.web.requests import peer

SESSION = "qc-session"
VISIT = "qc-visit"
HOST_PREFIX = "__Host-"
"""Browsers take a cookie of such a name from this very host over TLS only, never from a neighbouring name."""
MAX_COOKIE_LENGTH = 128


def read_cookie(request: Request, name: str) -> str | None:
    """Read a cookie; one that is longer than ours counts as missing."""
    value = request.cookies.get(_full_name(request, name))
    return value if value and len(value) <= MAX_COOKIE_LENGTH else None


def set_cookie(request: Request, response: Response, name: str, value: str, *, max_age_s: int | None = None) -> None:
    """Set a cookie that scripts cannot read and other sites do not send; without an age it ends with the window."""
    response.set_cookie(
        _full_name(request, name),
        value,
        max_age=max_age_s,
        path="/",
        secure=_is_secure(request),
        httponly=True,
        samesite="lax",
    )


def delete_cookie(request: Request, response: Response, name: str) -> None:
    """Let the browser forget a cookie."""
    response.delete_cookie(
        _full_name(request, name), path="/", secure=_is_secure(request), httponly=True, samesite="lax"
    )


def _is_secure(request: Request) -> bool:
    """Return True but for plain HTTP within this machine, where browsers differ in what they do with Secure."""
    return peer(request).is_https or not peer(request).is_direct_from_this_machine


def _full_name(request: Request, name: str) -> str:
    return HOST_PREFIX + name if _is_secure(request) else name
