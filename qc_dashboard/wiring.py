"""Make the dashboard's objects from its settings."""

import socket
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Any

from starlette.applications import Starlette

from qc_dashboard.accounts.accounts import Accounts
from qc_dashboard.accounts.roles import Role
from qc_dashboard.accounts.sessions import SessionLimits
from qc_dashboard.database.database import Database
from qc_dashboard.settings import DashboardSettings
from qc_dashboard.web.app import create_app
from qc_dashboard.web.door import Entrance
from qc_dashboard.web.routes import RoomRoute
from qc_dashboard.web.server import Tls
from qc_worker.domain.errors import SettingsError
from qc_worker.runtime.clock import SystemClock

ROUTES: tuple[RoomRoute, ...] = ()
"""What the rooms serve: the JSON routes of `api` and the pages of `pages`."""


def build_accounts(settings: DashboardSettings, database: Database) -> Accounts:
    """Make users, sessions and audit on that database."""
    limits = SessionLimits(idle_s=settings.session_idle_s, total_s=settings.session_total_s)
    return Accounts(database, clock=SystemClock(), session_limits=limits)


def build_app(
    settings: DashboardSettings,
    accounts: Accounts,
    *,
    routes: Sequence[RoomRoute] = ROUTES,
    state: dict[str, Any] | None = None,
) -> Starlette:
    """Make the web app. Raises SettingsError if people could come in who should not."""
    return create_app(accounts, entrance(settings, has_users=accounts.users.any()), routes=routes, state=state)


def entrance(settings: DashboardSettings, *, has_users: bool) -> Entrance:
    """Decide how people may come in. Raises SettingsError."""
    loopback_only = is_loopback(settings.dashboard_host)
    if settings.trusted_header and not settings.proxy_networks:
        raise SettingsError("trusted_header needs trusted_proxies: the addresses that may send it")
    if not (loopback_only or has_users or settings.trusted_header):
        raise SettingsError(
            f"without users the dashboard serves this machine only, not {settings.dashboard_host}: add a user with "
            "`qc-dashboard users add NAME --role engineer`, set trusted_header, or use --host 127.0.0.1"
        )
    return Entrance(
        loopback_only=loopback_only,
        proxies=settings.proxy_networks,
        trusted_header=settings.trusted_header,
        trusted_header_role=Role(settings.trusted_header_role),
        names=(*settings.page_names, *_own_names(settings.dashboard_host)),
    )


def tls(settings: DashboardSettings) -> Tls | None:
    """Return the certificate's files, if there are any. Raises SettingsError."""
    if settings.dashboard_certfile is None:
        if settings.dashboard_keyfile is not None:
            raise SettingsError("dashboard_keyfile needs dashboard_certfile")
        return None
    for file in (settings.dashboard_certfile, settings.dashboard_keyfile):
        if file is not None and not file.is_file():
            raise SettingsError(f"{file} is not a file: check dashboard_certfile and dashboard_keyfile")
    return Tls(settings.dashboard_certfile, settings.dashboard_keyfile)


def is_loopback(host: str) -> bool:
    """Return True if only this machine can reach that address."""
    try:
        return ip_address(host.removeprefix("[").removesuffix("]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _own_names(host: str) -> set[str]:
    return {host, socket.gethostname(), socket.getfqdn()}
