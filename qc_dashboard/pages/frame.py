"""Show everything of one frame, and find it by position, part or the camera's id."""

from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from qc_dashboard.accounts.roles import Role
from qc_dashboard.api.parameters.positions import MISSING, stored_in
from qc_dashboard.api.parts import ApiParts, api_of
from qc_dashboard.api.shapes.inspections import links_of
from qc_dashboard.api.shapes.models import live_release
from qc_dashboard.history.search import Search
from qc_dashboard.pages.shown import frame_page, shown
from qc_dashboard.web.problems import Problem
from qc_dashboard.web.rendering import render
from qc_dashboard.web.requests import identity_of
from qc_worker.domain.frame import Position

NEIGHBOURS = 3
MAX_TEXT = 256


def show_frame_page(request: Request) -> Response:
    """Show the frame with its heatmap, boxes, neighbours and what people said about it. Raises Problem."""
    api, stored = api_of(request), stored_in(request)
    around = api.history.neighbours(stored.source, count=NEIGHBOURS)
    if around is None:
        raise Problem(404, MISSING)
    may_write = identity_of(request).may(Role.OPERATOR)
    live = live_release(api.history.releases(stored.line)) if stored.line is not None else None
    context = {
        "frame": shown(stored),
        "before": [shown(one) for one in reversed(around.before)],
        "after": [shown(one) for one in around.after],
        "may_judge": may_write and None not in (stored.line, stored.frame_id),
        "replay": f"{links_of(stored.source).inspection}/replay",
        "may_replay": may_write,
        "live": None if live is None else live.version,
    }
    return render(request, "pages/frame.html", context)


def find_frame(request: Request) -> Response:
    """Lead to the frame with that position, part or id; to the history if there are several. Raises Problem."""
    text = request.query_params.get("q", "").strip()
    return RedirectResponse(_address(api_of(request), text), status_code=303)


def _address(api: ApiParts, text: str) -> str:
    if not text or len(text) > MAX_TEXT:
        raise Problem(404, "Give a part, a frame's id or a position such as images:0:4711.")
    if (position := _position(text)) and api.history.inspection(position):
        return frame_page(position)
    for field, search in (("part", Search(part=text)), ("frame_id", Search(frame_id=text))):
        found = api.history.search(search, limit=2)
        if found:
            return frame_page(found[0].source) if len(found) == 1 else f"/history?{urlencode({field: text})}"
    raise Problem(404, f"Nothing is known of {text!r}: neither a part nor a frame nor a position.")


def _position(text: str) -> Position | None:
    try:
        return Position.parse(text)
    except ValueError:
        return None
