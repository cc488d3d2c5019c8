"""Tell who sent a request: the user of a session, whom a trusted proxy names, or whoever is at this machine."""

from dataclasses import dataclass

from starlette.requests import Request

from qc_dashboard.accounts.accounts import Accounts
from qc_dashboard.accounts.identity import Identity, Proof
from qc_dashboard.accounts.names import user_name
from qc_dashboard.accounts.roles import Role
from qc_dashboard.web.cookies import SESSION, read_cookie
from qc_dashboard.web.peer import Networks
from qc_dashboard.web.problems import Problem
from qc_dashboard.web.requests import peer
from qc_worker.domain.errors import SettingsError

AT_THIS_MACHINE = Identity("local", Role.ENGINEER, Proof.LOOPBACK)


@dataclass(frozen=True, slots=True)
class Entrance:
    """How people may come in."""

    loopback_only: bool
    """The server listens on this machine alone; so without users everyone here is an engineer."""
    proxies: Networks = ()
    trusted_header: str = ""
    """Header in which the proxies name the user; empty: there is none."""
    trusted_header_role: Role = Role.VIEWER
    """Role of somebody who is named there and is no user."""
    names: tuple[str, ...] = ()
    """Names of the server beside its addresses."""


class Door:
    """Identifies who sent a request; threads may share it."""

    def __init__(self, accounts: Accounts, entrance: Entrance) -> None:
        self.accounts = accounts
        self.entrance = entrance

    def identify(self, request: Request) -> Identity | None:
        """Return who sent the request; None if somebody has to sign in. Raises Problem, DatabaseAway."""
        named = self._named_by_proxy(request)
        if named is not None:
            return named
        token = read_cookie(request, SESSION)
        identity = self.accounts.sessions.identity(token) if token else None
        if identity is None and self._is_open(request):
            return AT_THIS_MACHINE
        return identity

    def has_users(self) -> bool:
        """Return True if anybody can sign in here."""
        return self.accounts.users.any()

    def _is_open(self, request: Request) -> bool:
        """Return True if there is nothing to sign in with, and the request comes from this machine itself.

        A proxy on this machine would let everybody in; it shows itself by its headers.
        """
        may = self.entrance.loopback_only and not self.entrance.trusted_header
        return may and peer(request).is_direct_from_this_machine and not self.has_users()

    def _named_by_proxy(self, request: Request) -> Identity | None:
        header = self.entrance.trusted_header
        given = request.headers.getlist(header) if header else []
        if not given:
            return None
        if not peer(request).by_trusted_proxy:
            raise Problem(403, f"The header {header} was sent by somebody who is not a trusted proxy.")
        if len(given) > 1:
            raise Problem(400, f"The proxy sent the header {header} more than once.")
        try:
            name = user_name(_decoded(given[0]))
        except SettingsError as error:
            raise Problem(400, f"The proxy names nobody: {error}.") from None
        known = self.accounts.users.find(name)
        if known is None:
            return Identity(name, self.entrance.trusted_header_role, Proof.PROXY)
        return Identity(known.name, known.role, Proof.PROXY)


def _decoded(value: str) -> str:
    """Read a header as UTF-8, as proxies write it; HTTP itself knows only bytes, which arrive here as Latin-1."""
    try:
        return value.encode("latin-1").decode()
    except UnicodeError:
        return value
