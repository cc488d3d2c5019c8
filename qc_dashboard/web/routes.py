"""State what a room of the dashboard serves: each route with the least role that it needs."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

from starlette.requests import Request
from starlette.responses import Response

from qc_dashboard.accounts.roles import Role

Endpoint: TypeAlias = Callable[[Request], Response] | Callable[[Request], Awaitable[Response]]
"""Function that answers; one that is not `async` runs in a thread, so it may wait for the database."""

READING = frozenset({"GET", "HEAD"})
EVERYONE = None
"""Least role of what is shown without signing in."""
NOTHING_TO_AUDIT = ""


@dataclass(frozen=True, slots=True)
class RoomRoute:
    """One path of a room.

    A route that writes names its `action` for the audit and needs an operator at least: ValueError if not. Its requests
    must carry the CSRF token.
    """

    path: str
    endpoint: Endpoint
    least: Role | None
    methods: tuple[str, ...] = ("GET",)
    action: str = NOTHING_TO_AUDIT

    def __post_init__(self) -> None:
        if not self.writes:
            return
        if not self.action:
            raise ValueError(f"{self.path} writes: give it an action for the audit")
        if self.least is None or not self.least.includes(Role.OPERATOR):
            raise ValueError(f"{self.path} writes: it needs an operator at least")

    @property
    def writes(self) -> bool:
        return not READING.issuperset(self.methods)


@dataclass(frozen=True, slots=True)
class AccountRoute(RoomRoute):
    """A path by which people sign in or out. It may write for everyone, and it writes its own rows of the audit."""

    def __post_init__(self) -> None:
        """Accept what only these may do."""


@dataclass(frozen=True, slots=True)
class PassingRoute(RoomRoute):
    """A path that changes only what ends by itself, such as a lease: its requests leave no row in the audit."""


@dataclass(frozen=True, slots=True)
class NavigationEntry:
    """A room in the navigation; it is shown if its path is served."""

    label: str
    path: str
    least: Role = Role.VIEWER

    def holds(self, path: str) -> bool:
        """Return True if that path lies in this room."""
        return path == self.path or (self.path != "/" and path.startswith(f"{self.path}/"))


NAVIGATION = (
    NavigationEntry("Live", "/"),
    NavigationEntry("Review", "/review", Role.OPERATOR),
    NavigationEntry("History", "/history"),
    NavigationEntry("Models", "/models"),
    NavigationEntry("Report", "/report"),
)
