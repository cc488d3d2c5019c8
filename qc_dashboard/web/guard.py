"""Stand before every route: who is it, may they, is the token right; record writes; turn failures into answers."""

import inspect
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import quote

import structlog
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from qc_dashboard.accounts.audit import AuditEntry
from qc_dashboard.accounts.identity import Identity
from qc_dashboard.database.failures import DatabaseAway
from qc_dashboard.web.csrf import check_csrf, keep_secret
from qc_dashboard.web.failures import failed
from qc_dashboard.web.problems import Problem, problem_of
from qc_dashboard.web.requests import (
    is_for_programs,
    is_fragment,
    known_identity,
    peer,
    request_id,
    web_of,
)
from qc_dashboard.web.routes import READING, AccountRoute, PassingRoute, RoomRoute

if TYPE_CHECKING:
    from qc_dashboard.accounts.roles import Role

SIGN_IN = "/sign-in"

log = structlog.get_logger()


class Guard:
    """Answers the requests of one route."""

    def __init__(self, route: RoomRoute) -> None:
        self.route = route

    async def answer(self, request: Request) -> Response:
        """Answer, whatever happens."""
        try:
            response = await self._admitted(request)
        except (Problem, DatabaseAway) as error:
            response = await failed(request, problem_of(error, request_id(request)))
        except Exception as error:
            log.exception("request failed", request_id=request_id(request), path=request.url.path)
            response = await failed(request, problem_of(error, request_id(request)))
        keep_secret(request, response)
        return response

    async def _admitted(self, request: Request) -> Response:
        if self.route.least is not None:
            identity = await run_in_threadpool(web_of(request).door.identify, request)
            request.state.identity = identity
            if identity is None:
                return to_sign_in(request)
            check_role(identity, self.route.least)
        if request.method in READING:
            return await self._call(request)
        await check_csrf(request)
        if isinstance(self.route, AccountRoute | PassingRoute):
            return await self._call(request)
        return await self._recorded(request)

    async def _recorded(self, request: Request) -> Response:
        """Write the audit row before anything is changed, and how it ended afterwards."""
        audit = web_of(request).door.accounts.audit
        entry = AuditEntry(known_identity(request), peer(request).address, self.route.action, request.url.path)
        number = await run_in_threadpool(audit.begin, entry)
        status: int = HTTPStatus.INTERNAL_SERVER_ERROR
        try:
            response = await self._call(request)
            status = response.status_code
        except Exception as error:
            status = problem_of(error, request_id(request)).status
            raise
        finally:
            detail = getattr(request.state, "audit_detail", None)
            await run_in_threadpool(audit.end, number, status=status, detail=detail)
        return response

    async def _call(self, request: Request) -> Response:
        if inspect.iscoroutinefunction(self.route.endpoint):
            response = await self.route.endpoint(request)
        else:
            response = await run_in_threadpool(self.route.endpoint, request)
        if not isinstance(response, Response):
            raise TypeError(f"{self.route.path} answered with {type(response).__name__}")
        return response


def check_role(identity: Identity, least: "Role") -> None:
    """Raise Problem if the role does not suffice."""
    if not identity.may(least):
        raise Problem(403, f"This needs the role {least}; {identity.name} is {identity.role}. Ask an engineer.")


def to_sign_in(request: Request) -> Response:
    """Send people to the sign-in page and back afterwards. Raises Problem for programs."""
    if is_for_programs(request):
        raise Problem(401, "Sign in first.")
    here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    to = f"{SIGN_IN}?next={quote(here, safe='')}" if request.method in READING and not is_fragment(request) else SIGN_IN
    if is_fragment(request):
        return Response(status_code=HTTPStatus.UNAUTHORIZED, headers={"HX-Redirect": to})
    return RedirectResponse(to, status_code=HTTPStatus.SEE_OTHER)


async def still_admitted(request: Request, least: "Role") -> bool:
    """Return True if whoever opened a long stream may still have it: streams ask now and then, as sessions end."""
    try:
        identity = await run_in_threadpool(web_of(request).door.identify, request)
    except DatabaseAway:
        return True
    return identity is not None and identity.may(least)
