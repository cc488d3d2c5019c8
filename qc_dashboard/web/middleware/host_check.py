"""Refuse requests under a foreign name: a page elsewhere could let its own name lead here (DNS rebinding)."""

from collections.abc import Iterable
from ipaddress import ip_address

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from qc_dashboard.web.failures import problem_details
from qc_dashboard.web.problems import Problem
from qc_dashboard.web.requests import is_for_programs

ALWAYS = "localhost"


class HostCheck:
    """Accepts `localhost`, every address, and the given names. An address cannot be made to lead elsewhere."""

    def __init__(self, app: ASGIApp, *, names: Iterable[str]) -> None:
        self._app = app
        self._names = frozenset({ALWAYS, *(name.lower() for name in names)})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        if scope["type"] == "http" and not self._accepts(Headers(scope=scope).getlist("host")):
            await _refusal(Request(scope))(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _accepts(self, hosts: list[str]) -> bool:
        return len(hosts) == 1 and (_bare(hosts[0]) in self._names or _is_address(_bare(hosts[0])))


def _refusal(request: Request) -> Response:
    detail = "The server is not known under this name. If the name is right, add it to QC_DASHBOARD_NAMES."
    if is_for_programs(request):
        return problem_details(request, Problem(421, detail))
    return PlainTextResponse(detail, status_code=421)


def _bare(host: str) -> str:
    """Cut off the port, the brackets of an IPv6 address, and the dot of the root."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.rpartition(":")[0].lower().rstrip(".") if ":" in host else host.lower().rstrip(".")


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
