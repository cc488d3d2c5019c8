"""Shape of problem details, as `qc_dashboard.web.failures` writes them."""

from dataclasses import dataclass
from typing import ClassVar

from qc_dashboard.api.shapes.documented import DOCUMENTED


@dataclass(frozen=True, slots=True)
class ProblemDetails:
    """Why a request failed (RFC 9457)."""

    __pydantic_config__: ClassVar = DOCUMENTED

    type: str
    """Always `about:blank`: the status says what it is."""
    title: str
    """Words for the status."""
    status: int
    """HTTP status."""
    detail: str
    """What happened, and what to do."""
    request_id: str
    """Id under which the server's log has the request."""
