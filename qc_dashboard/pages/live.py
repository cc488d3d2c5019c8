"""Show what every line does now: the cards that scripts fill from the API, and the same on a wall."""

from starlette.requests import Request
from starlette.responses import Response

from qc_dashboard.api.parts import api_of
from qc_dashboard.web.rendering import render


def show_live(request: Request) -> Response:
    """Show a card for each line; before the first frame, what to do."""
    return _page(request, wall=False)


def show_wall(request: Request) -> Response:
    """Show the cards for a screen that is read from three metres, without hands."""
    return _page(request, wall=True)


def _page(request: Request, *, wall: bool) -> Response:
    api = api_of(request)
    if not api.history.lines():
        return render(request, "pages/no_frames.html", {"outages": api.outages(), "workers": api.workers.state()})
    return render(request, "pages/live.html", {"wall": wall})
