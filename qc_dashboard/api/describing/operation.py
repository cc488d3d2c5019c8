"""State what a route of the API takes and answers: the router and the OpenAPI document are made from it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qc_dashboard.accounts.roles import Role
from qc_dashboard.api.parameters.nothing import NoQuery
from qc_dashboard.web.routes import RoomRoute

Schema = dict[str, Any]

JSON = "application/json"
BINARY: Any = bytes
"""Shape of pictures and of event streams: OpenAPI 3.1 has no schema for them."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a request that succeeds."""

    description: str
    shape: Any
    """Dataclass of the JSON; str or bytes for other content."""
    media_type: str = JSON
    status: int = 200
    headers: Mapping[str, str] | None = None
    """Headers by name, each with its description."""


@dataclass(frozen=True, slots=True)
class Operation:
    """A route with its description."""

    route: RoomRoute
    name: str
    """Its operationId."""
    summary: str
    answer: Answer
    query: Any = NoQuery
    """Dataclass whose fields are the parameters."""
    headers: Mapping[str, Schema] | None = None
    """Headers that requests may carry, each with its schema and description."""
    body: Any = None
    """Dataclass of the JSON that is sent; None: nothing is sent."""
    also: tuple[Any, ...] = ()
    """Dataclasses that the answer's text is made of."""
    failures: tuple[int, ...] = ()
    """Statuses of failures besides those that every route has."""

    @property
    def method(self) -> str:
        return self.route.methods[0].lower()

    @property
    def least(self) -> Role | None:
        return self.route.least
