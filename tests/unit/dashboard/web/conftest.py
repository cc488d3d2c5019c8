"""An app with a room, on a real SQLite database."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from qc_dashboard.accounts.accounts import Accounts
from qc_dashboard.accounts.roles import Role
from qc_dashboard.database.database import Database
from qc_dashboard.database.failures import DatabaseAway
from qc_dashboard.web.app import create_app
from qc_dashboard.web.door import Entrance
from qc_dashboard.web.problems import Problem
from qc_dashboard.web.requests import identity_of, note_for_audit
from qc_dashboard.web.routes import RoomRoute
from tests.support.databases import migrated, new_url
from tests.support.web import Visitor, accounts_on

NAMES = ("qc.example",)


def look(request: Request) -> Response:
    return JSONResponse({"name": identity_of(request).name, "part": "p" * 2000})


async def judge(request: Request) -> Response:
    given = await request.json() if request.headers.get("content-type") == "application/json" else None
    note_for_audit(request, f"version {given}")
    return JSONResponse({"judged": True})


def fail(request: Request) -> Response:
    kinds = {"problem": Problem(409, "It was judged before."), "away": DatabaseAway("history database: gone")}
    raise kinds.get(request.path_params["kind"], ValueError("secret detail"))


ROUTES = (
    RoomRoute("/api/v1/look", look, Role.VIEWER),
    RoomRoute("/review", look, Role.VIEWER),
    RoomRoute("/review/judge", judge, Role.OPERATOR, methods=("POST",), action="judge frame"),
    RoomRoute("/models/promote", judge, Role.ENGINEER, methods=("POST",), action="promote model"),
    RoomRoute("/fail/{kind}", fail, Role.VIEWER),
    RoomRoute("/fail/{kind}", fail, Role.OPERATOR, methods=("POST",), action="fail"),
)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with new_url(None, tmp_path) as url, migrated(url) as opened:
        yield opened


@pytest.fixture
def accounts(database: Database) -> Accounts:
    return accounts_on(database)


@pytest.fixture
def app(accounts: Accounts) -> Starlette:
    return create_app(accounts, Entrance(loopback_only=True, names=NAMES), routes=ROUTES)


@pytest.fixture
def visitor(app: Starlette) -> Visitor:
    return Visitor(app)
