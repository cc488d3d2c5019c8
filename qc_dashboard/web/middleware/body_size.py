"""Bound the bytes that a request may send."""

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from qc_dashboard.web.failures import failed
from qc_dashboard.web.problems import BodyTooLarge


class BodySize:
    """Refuses a body that announces more, and stops reading one that sends more."""

    def __init__(self, app: ASGIApp, *, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = Headers(scope=scope).get("content-length", "0")
        if not announced.isdecimal() or int(announced) > self._max_bytes:
            response = await failed(Request(scope), BodyTooLarge(self._max_bytes))
            await response(scope, receive, send)
            return
        received = 0

        async def bounded() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._max_bytes:
                raise BodyTooLarge(self._max_bytes)  # the guard of the route, which asked for it, answers
            return message

        await self._app(scope, bounded, send)
