"""Read a frame's position from a path."""

from starlette.requests import Request

from qc_dashboard.api.parts import api_of
from qc_dashboard.history.search import StoredInspection
from qc_dashboard.web.problems import Problem
from qc_worker.domain.frame import Position

MISSING = "The history has no inspection of that frame."


def source_in(request: Request) -> Position:
    """Return the frame's position. Raises Problem if the path has none."""
    path = request.path_params
    try:
        return Position.parse(f"{path['topic']}:{path['partition']}:{path['offset']}")
    except ValueError:
        raise Problem(404, MISSING) from None


def stored_in(request: Request) -> StoredInspection:
    """Return the inspection that the path names. Raises Problem if there is none."""
    stored = api_of(request).history.inspection(source_in(request))
    if stored is None:
        raise Problem(404, MISSING)
    return stored
