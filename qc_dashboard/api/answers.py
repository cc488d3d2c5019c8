"""Answer with JSON that was made from a dataclass."""

from functools import cache
from typing import Any

from pydantic import TypeAdapter
from starlette.responses import Response

JSON = "application/json"


def json_answer(value: Any, *, status: int = 200) -> Response:
    """Encode the dataclass."""
    return Response(encoded(value), status_code=status, media_type=JSON)


def encoded(value: Any) -> bytes:
    """Encode the dataclass as JSON."""
    return _adapter(type(value)).dump_json(value)


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)
