"""Put the web app together: rooms, each route behind its guard, within the middleware."""

import asyncio
from collections.abc import Sequence
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.routing import Route

from qc_dashboard.accounts.accounts import Accounts
from qc_dashboard.web.door import Door, Entrance
from qc_dashboard.web.failures import refused_by_router
from qc_dashboard.web.guard import Guard
from qc_dashboard.web.middleware.body_size import BodySize
from qc_dashboard.web.middleware.host_check import HostCheck
from qc_dashboard.web.middleware.request_log import RequestLog
from qc_dashboard.web.middleware.security_headers import SecurityHeaders
from qc_dashboard.web.rendering import Templates
from qc_dashboard.web.requests import Web
from qc_dashboard.web.routes import EVERYONE, NAVIGATION, NavigationEntry, RoomRoute
from qc_dashboard.web.sign_in import ACCOUNT_ROUTES
from qc_dashboard.web.start import HEALTH_ROUTES, START_ROUTE
from qc_dashboard.web.static_files import PREFIX, StaticFiles

MAX_BODY_BYTES = 1024 * 1024
GZIP_LEVEL = 5


def create_app(
    accounts: Accounts,
    entrance: Entrance,
    *,
    routes: Sequence[RoomRoute] = (),
    navigation: Sequence[NavigationEntry] = NAVIGATION,
    max_body_bytes: int = MAX_BODY_BYTES,
    state: dict[str, Any] | None = None,
) -> Starlette:
    """Make the app of these rooms' routes. `state` becomes attributes of `request.app.state`, for their handlers.

    Of the navigation those entries are shown whose paths are served. `/` has a page for the time before the first
    frame unless a room serves it.
    """
    static = StaticFiles()
    own = (*ACCOUNT_ROUTES, *HEALTH_ROUTES, RoomRoute(f"{PREFIX}/{{digest}}/{{name:path}}", static.answer, EVERYONE))
    start = () if any(route.path == START_ROUTE.path for route in routes) else (START_ROUTE,)
    served = (*own, *start, *routes)
    app = Starlette(
        routes=_guarded(served),
        middleware=_middleware(entrance, max_body_bytes),
        exception_handlers={HTTPException: refused_by_router},
    )
    paths = {route.path for route in served}
    app.state.web = Web(
        door=Door(accounts, entrance),
        templates=Templates(static.url),
        static=static,
        navigation=[entry for entry in navigation if entry.path in paths],
        stopping=asyncio.Event(),
    )
    for name, part in (state or {}).items():
        setattr(app.state, name, part)
    return app


def _guarded(routes: Sequence[RoomRoute]) -> list[Route]:
    return [Route(route.path, Guard(route).answer, methods=list(route.methods)) for route in routes]


def _middleware(entrance: Entrance, max_body_bytes: int) -> list[Middleware]:
    """List the layers, outermost first."""
    return [
        Middleware(RequestLog, proxies=entrance.proxies),
        Middleware(SecurityHeaders),
        Middleware(HostCheck, names=entrance.names),
        Middleware(GZipMiddleware, compresslevel=GZIP_LEVEL),
        Middleware(BodySize, max_bytes=max_body_bytes),
    ]
