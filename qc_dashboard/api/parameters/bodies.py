"""Read a JSON body into a dataclass."""

from typing import TypeVar

from pydantic import TypeAdapter, ValidationError
from starlette.requests import Request

from qc_dashboard.api.parameters.queries import sentence_of
from qc_dashboard.web.problems import Problem

T = TypeVar("T")


async def body_of(request: Request, adapter: TypeAdapter[T]) -> T:
    """Parse the body. Raises Problem if it is not JSON or lacks something."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Problem(415, "Send application/json.")
    try:
        return adapter.validate_json(await request.body(), strict=True)
    except ValidationError as error:
        raise Problem(422, sentence_of(error)) from None
