"""Fill templates: everything is escaped, and each page gets navigation, identity, static files and the CSRF token."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse

from qc_dashboard.web.csrf import csrf_token
from qc_dashboard.web.requests import known_identity, request_id, web_of

FOLDER = Path(__file__).parent / "templates"
# htmx would add a style sheet of its own and evaluate attributes as code; the policy forbids both.
HTMX = {"includeIndicatorStyles": False, "allowEval": False, "selfRequestsOnly": True, "historyCacheSize": 0}


class Templates:
    """The templates of all rooms; a name that a page was not given is an error."""

    def __init__(self, static_url: Callable[[str], str], *, folder: Path = FOLDER) -> None:
        self.environment = Environment(
            loader=FileSystemLoader(folder),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        # A global, so that macros in imported templates have it too.
        self.environment.globals["static"] = static_url

    def filled(self, name: str, context: Mapping[str, Any]) -> str:
        """Fill a template."""
        return self.environment.get_template(name).render(context)


def render(
    request: Request,
    template: str,
    context: Mapping[str, Any] | None = None,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> HTMLResponse:
    """Answer with a page or a fragment."""
    web = web_of(request)
    identity = known_identity(request)
    common = {
        "identity": identity,
        "navigation": [entry for entry in web.navigation if identity is not None and identity.may(entry.least)],
        "path": request.url.path,
        "csrf_token": csrf_token(request),
        "htmx": HTMX,
        "request_id": request_id(request),
    }
    page = web.templates.filled(template, {**common, **(context or {})})
    return HTMLResponse(page, status_code=status, headers=dict(headers or {}))
