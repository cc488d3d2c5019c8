"""The dashboard's web app in this process, and visitors who keep their cookies as browsers do."""

import asyncio
import re
from collections.abc import Mapping, Sequence
from typing import Any

import httpx
from argon2 import PasswordHasher
from starlette.applications import Starlette

from qc_dashboard.accounts.accounts import Accounts
from qc_dashboard.accounts.audit import AuditEntry
from qc_dashboard.accounts.identity import Identity, Proof
from qc_dashboard.accounts.passwords import Passwords
from qc_dashboard.accounts.roles import Role
from qc_dashboard.database.database import Database
from tests.support.factories import ManualClock

CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
"""Takes a millisecond instead of a tenth of a second."""
PASSWORD = "correct horse battery"
BY_TEST = AuditEntry(Identity("test", Role.ENGINEER, Proof.COMMAND_LINE), "test", "test")
TOKEN = re.compile(r'<meta name="csrf-token" content="([^"]+)">')


def accounts_on(database: Database, clock: ManualClock | None = None, **limits: Any) -> Accounts:
    """Make accounts whose passwords are hashed quickly."""
    return Accounts(database, clock=clock or ManualClock(), passwords=Passwords(CHEAP), **limits)


def add_users(accounts: Accounts, *roles: Role) -> None:
    """Add a user of each role, named after it."""
    for role in roles:
        accounts.users.add(role.value, PASSWORD, role, by=BY_TEST)


class Visitor:
    """Sends requests to the app from one address, keeping cookies."""

    def __init__(self, app: Starlette, *, base: str = "http://localhost", address: str = "127.0.0.1") -> None:
        self._app = app
        self._base = base
        self._address = address
        self.cookies = httpx.Cookies()

    def set_cookie(self, name: str, value: str) -> None:
        """Plant a cookie, instead of the one that the app has set."""
        self.cookies.set(name, value, domain="localhost.local", path="/")

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.request("GET", path, **options)

    def post(self, path: str, fields: Mapping[str, str] | None = None, **options: Any) -> httpx.Response:
        """Send a form with a token from the sign-in page."""
        return self.request("POST", path, data={"csrf_token": self.token(), **(fields or {})}, **options)

    def token(self) -> str:
        """Read a CSRF token from a page."""
        found = None
        for path in ("/sign-in", "/"):
            found = found or TOKEN.search(self.get(path).text)
        assert found is not None
        return found[1]

    def sign_in(self, name: str, password: str = PASSWORD, **fields: str) -> httpx.Response:
        return self.post("/sign-in", {"name": name, "password": password, **fields})

    def request(
        self, method: str, path: str, *, headers: Mapping[str, str] | Sequence[tuple[str, str]] = (), **options: Any
    ) -> httpx.Response:
        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(self._app, client=(self._address, 40_000))
            async with httpx.AsyncClient(
                transport=transport, base_url=self._base, cookies=self.cookies, follow_redirects=False
            ) as client:
                response = await client.request(
                    method, path, headers=httpx.Headers(headers, encoding="latin-1"), **options
                )
                self.cookies = client.cookies
                return response

        return asyncio.run(send())
