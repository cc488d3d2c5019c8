"""Answer with JSON that was made from a dataclass."""

from typing import Any

from starlette.responses import Response

from qc_dashboard.api.adapters import adapter_of

JSON = "application/json"


def json_answer(value: Any, *, status: int = 200) -> Response:
    """Encode the dataclass."""
    return Response(encoded(value), status_code=status, media_type=JSON)


def encoded(value: Any) -> bytes:
    """Encode the dataclass as JSON."""
    return adapter_of(type(value)).dump_json(value)
