"""Serve the start page as long as no room has it, and the endpoints for health and metrics."""

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from qc_dashboard.accounts.roles import Role
from qc_dashboard.web.rendering import render
from qc_dashboard.web.requests import web_of
from qc_dashboard.web.routes import EVERYONE, RoomRoute


def show_start(request: Request) -> Response:
    """Show what to do before the first frame."""
    return render(request, "start.html")


def show_live(request: Request) -> Response:  # noqa: ARG001  (a route's signature)
    """Say that the process answers."""
    return JSONResponse({"answers": True})


def show_ready(request: Request) -> Response:
    """Say that the database answers. Raises DatabaseAway, which becomes 503."""
    web_of(request).door.has_users()
    return JSONResponse({"database": True})


def show_metrics(request: Request) -> Response:  # noqa: ARG001
    """Show the metrics of this process; they name topics and outcomes, never a line's parts."""
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


START_ROUTE = RoomRoute("/", show_start, Role.VIEWER)
HEALTH_ROUTES = (
    RoomRoute("/livez", show_live, EVERYONE),
    RoomRoute("/readyz", show_ready, EVERYONE),
    RoomRoute("/metrics", show_metrics, EVERYONE),
)
