"""Show the models of all lines, and all versions of one; scripts fill both from the API."""

from starlette.requests import Request
from starlette.responses import Response

from qc_dashboard.accounts.roles import Role
from qc_dashboard.api.versions.asking import line_in
from qc_dashboard.web.rendering import render
from qc_dashboard.web.requests import identity_of

MODELS_PAGE = "/models"


def show_models_page(request: Request) -> Response:
    """Show a card for each line."""
    return render(request, "pages/models.html")


def show_line_models(request: Request) -> Response:
    """Show the line's versions; engineers get buttons that make one live. Raises Problem."""
    line = line_in(request)
    may_release = identity_of(request).may(Role.ENGINEER)
    return render(request, "pages/line_models.html", {"line": line, "may_release": may_release})
