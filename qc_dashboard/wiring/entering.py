"""Decide how people may come in."""

import socket
from ipaddress import ip_address

from qc_dashboard.accounts.roles import Role
from qc_dashboard.settings import DashboardSettings
from qc_dashboard.web.door import Entrance
from qc_dashboard.web.server import Tls
from qc_worker.domain.errors import SettingsError


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
