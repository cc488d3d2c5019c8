"""Serve the OpenAPI document."""

import json
from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response

from qc_dashboard.accounts.roles import Role
from qc_dashboard.api.describing.document import openapi_document
from qc_dashboard.api.describing.operation import JSON, Operation
from qc_dashboard.web.routes import RoomRoute

PATH = "/api/openapi.json"


def document_route(operations: Sequence[Operation]) -> RoomRoute:
    """Make the route of the document about these operations."""
    text = document_text(operations)

    def show_document(request: Request) -> Response:  # noqa: ARG001  (a route's signature)
        return Response(text, media_type=JSON)

    return RoomRoute(PATH, show_document, Role.VIEWER)


def document_text(operations: Sequence[Operation]) -> str:
    """Write the document as it is checked in."""
    return json.dumps(openapi_document(operations), indent=2, ensure_ascii=False) + "\n"
