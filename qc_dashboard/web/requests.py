"""Read from a request what the middleware and the door have found out."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.requests import Request

from qc_dashboard.accounts.identity import Identity
from qc_dashboard.web.peer import Peer
from qc_dashboard.web.problems import Problem
from qc_dashboard.web.routes import NavigationEntry

if TYPE_CHECKING:
    from qc_dashboard.web.door import Door
    from qc_dashboard.web.rendering import Templates
    from qc_dashboard.web.static_files import StaticFiles


@dataclass(frozen=True, slots=True)
class Web:
    """What every answer may need; one for each app."""

    door: "Door"
    templates: "Templates"
    static: "StaticFiles"
    navigation: Sequence[NavigationEntry]
    stopping: asyncio.Event
    """Set when the server stops: streams end themselves then."""


def web_of(request: Request) -> Web:
    """Return the app's parts."""
    found: Web = request.app.state.web
    return found


def peer(request: Request) -> Peer:
    """Return the sender of the request."""
    found: Peer = request.state.peer
    return found


def request_id(request: Request) -> str:
    """Return the id under which the log has the request."""
    return str(request.state.request_id)


def identity_of(request: Request) -> Identity:
    """Return who sent the request; in routes with a least role there is always somebody. Raises Problem."""
    found = known_identity(request)
    if found is None:
        raise Problem(401, "Sign in first.")
    return found


def known_identity(request: Request) -> Identity | None:
    """Return who sent the request, if the door has looked and there is somebody."""
    return getattr(request.state, "identity", None)


def is_for_programs(request: Request) -> bool:
    """Return True if the answer to a failure should be JSON."""
    accepted = request.headers.get("accept", "")
    return request.url.path.startswith("/api/") or ("application/json" in accepted and "text/html" not in accepted)


def is_fragment(request: Request) -> bool:
    """Return True if htmx asks for a part of a page."""
    return request.headers.get("hx-request") == "true"


def note_for_audit(request: Request, detail: str) -> None:
    """Add a sentence to the audit row of this write, such as the version that was promoted."""
    request.state.audit_detail = detail
