"""Every route states a role, and the guard holds to it."""

import re

import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from qc_dashboard.accounts.accounts import Accounts
from qc_dashboard.accounts.audit import AuditEntry
from qc_dashboard.accounts.roles import Role
from qc_dashboard.database.failures import DatabaseAway
from qc_dashboard.web.app import create_app
from qc_dashboard.web.door import Entrance
from qc_dashboard.web.guard import Guard
from qc_dashboard.web.routes import EVERYONE, AccountRoute, RoomRoute
from qc_dashboard.wiring.serving import ROUTES
from tests.support.web import Visitor, add_users
from tests.unit.dashboard.web import conftest as room

PARAMETER = re.compile(r"{[^}]*}")


def guards(app: Starlette) -> list[RoomRoute]:
    """Return the routes behind the guards; every route of the app must have one."""
    found = []
    for route in app.routes:
        assert isinstance(route, Route)
        guard = getattr(route.endpoint, "__self__", None)
        assert isinstance(guard, Guard), route.path
        found.append(guard.route)
    return found


def test_every_route_stands_behind_a_guard_and_only_these_are_for_everyone(app: Starlette) -> None:
    open_to_all = {(route.path, route.methods) for route in guards(app) if route.least is EVERYONE}
    assert open_to_all == {
        ("/sign-in", ("GET",)),
        ("/sign-in", ("POST",)),
        ("/sign-out", ("POST",)),
        ("/livez", ("GET",)),
        ("/readyz", ("GET",)),
        ("/metrics", ("GET",)),
        ("/static/{digest}/{name:path}", ("GET",)),
    }


def test_only_signing_in_and_out_writes_without_being_recorded(app: Starlette) -> None:
    writing = [route for route in guards(app) if route.writes]
    assert {route.path for route in writing if isinstance(route, AccountRoute)} == {"/sign-in", "/sign-out"}
    assert all(route.action for route in writing if not isinstance(route, AccountRoute))


@pytest.mark.parametrize("least", [EVERYONE, Role.VIEWER])
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_route_that_writes_cannot_be_made_for_viewers(least: Role | None, method: str) -> None:
    with pytest.raises(ValueError, match="operator"):
        RoomRoute("/write", room.judge, least, methods=("GET", method), action="write")


def test_route_that_writes_cannot_be_made_without_an_action() -> None:
    with pytest.raises(ValueError, match="action"):
        RoomRoute("/write", room.judge, Role.OPERATOR, methods=("POST",))


@pytest.mark.parametrize("route", [route for route in (*room.ROUTES, *ROUTES) if route.writes])
def test_viewer_cannot_write(accounts: Accounts, route: RoomRoute) -> None:
    add_users(accounts, Role.VIEWER)
    visitor = Visitor(create_app(accounts, Entrance(loopback_only=True, names=room.NAMES), routes=[route]))
    visitor.sign_in("viewer")
    for method in route.methods:
        answer = visitor.request(method, PARAMETER.sub("1", route.path), headers={"X-CSRF-Token": visitor.token()})
        assert answer.status_code == 403
    assert [row.action for row in accounts.audit.newest(10)] == ["sign in", "test"]


@pytest.mark.parametrize(
    ("role", "allowed"),
    [(Role.VIEWER, [200, 403, 403]), (Role.OPERATOR, [200, 200, 403]), (Role.ENGINEER, [200, 200, 200])],
)
def test_each_role_may_do_what_the_one_before_may(
    app: Starlette, accounts: Accounts, role: Role, allowed: list[int]
) -> None:
    add_users(accounts, role)
    visitor = Visitor(app)
    visitor.sign_in(role)
    answers = [visitor.get("/review"), visitor.post("/review/judge"), visitor.post("/models/promote")]
    assert [answer.status_code for answer in answers] == allowed


def test_refusal_says_which_role_is_needed(app: Starlette, accounts: Accounts) -> None:
    add_users(accounts, Role.VIEWER)
    visitor = Visitor(app)
    visitor.sign_in("viewer")
    answer = visitor.post("/models/promote", headers={"Accept": "application/json"})
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"] == "This needs the role engineer; viewer is viewer. Ask an engineer."


def test_writes_are_recorded_with_their_end(visitor: Visitor, accounts: Accounts) -> None:
    visitor.post("/review/judge")
    visitor.post("/fail/problem")
    visitor.post("/fail/defect")
    visitor.get("/review")
    rows = [(row.name, row.action, row.subject, row.status) for row in reversed(accounts.audit.newest(10))]
    assert rows == [
        ("local", "judge frame", "/review/judge", 200),
        ("local", "fail", "/fail/problem", 409),
        ("local", "fail", "/fail/defect", 500),
    ]
    assert accounts.audit.newest(3)[2].detail == "version None"


def test_write_that_cannot_be_recorded_is_not_made(
    visitor: Visitor, accounts: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(_entry: AuditEntry) -> int:
        raise DatabaseAway("history database: gone")

    token = visitor.token()
    monkeypatch.setattr(accounts.audit, "begin", away)
    answer = visitor.request("POST", "/review/judge", headers={"X-CSRF-Token": token})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
