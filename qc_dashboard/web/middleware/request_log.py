"""Log one line per request: who, what, how it ended. No query, header, cookie or body: they may hold secrets."""

from time import monotonic
from uuid import uuid4

import structlog
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from qc_dashboard.web.peer import Networks, peer_of

QUIET = ("/static/", "/livez", "/metrics", "/readyz")
MAX_PATH_LENGTH = 500

log = structlog.get_logger()


class RequestLog:
    """Gives each request an id, finds its sender, and logs its end. The outermost: it sees every answer."""

    def __init__(self, app: ASGIApp, *, proxies: Networks) -> None:
        self._app = app
        self._proxies = proxies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun_s, status = monotonic(), 0
        state = scope.setdefault("state", {})
        state["request_id"] = uuid4().hex[:12]
        state["peer"] = peer_of(scope, self._proxies)

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message).setdefault("X-Request-Id", state["request_id"])
            await send(message)

        try:
            await self._app(scope, receive, noting)
        finally:
            _write(scope, status, seconds=monotonic() - begun_s)


def _write(scope: Scope, status: int, *, seconds: float) -> None:
    state, path = scope["state"], scope["path"]
    identity = state.get("identity")
    write = log.debug if path.startswith(QUIET) else log.info
    write(
        "request",
        method=scope["method"],
        path=path[:MAX_PATH_LENGTH],
        status=int(status) or None,
        ms=round(seconds * 1000, 1),
        user=identity and identity.name,
        address=state["peer"].address,
        request_id=state["request_id"],
    )
