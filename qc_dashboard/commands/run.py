"""`qc-dashboard run`: follow the topics and serve the pages until a signal comes."""

import socket
from contextlib import ExitStack

import structlog

from qc_dashboard.accounts.accounts import Accounts
from qc_dashboard.settings import DashboardSettings
from qc_dashboard.web.server import open_sockets, serve
from qc_dashboard.wiring.dashboard import open_dashboard
from qc_dashboard.wiring.entering import is_loopback, tls
from qc_dashboard.wiring.serving import build_accounts, build_app, open_api
from qc_worker.runtime.failpoints import arm

log = structlog.get_logger()


def run_dashboard(settings: DashboardSettings) -> None:
    """Run until SIGTERM or SIGINT; a second signal exits at once, which loses nothing. Raises QcError."""
    arm(settings.failpoints)
    with ExitStack() as stack:  # last in, first out
        dashboard = stack.enter_context(open_dashboard(settings))
        accounts = build_accounts(settings, dashboard.database)
        api = stack.enter_context(open_api(settings, dashboard))
        app = build_app(settings, accounts, state={"api": api})
        certificate = tls(settings)
        sockets = open_sockets(settings.dashboard_host, settings.dashboard_port)
        for each in sockets:
            stack.callback(each.close)
        _say_who_may_enter(settings, accounts)
        log.info("dashboard started", url=address(settings, sockets), database=dashboard.database.kind)
        serve(app, sockets, tls=certificate)
    log.info("dashboard stopped")


def address(settings: DashboardSettings, sockets: list[socket.socket]) -> str:
    """Return the URL for a browser."""
    host, port = settings.dashboard_host, sockets[0].getsockname()[1]
    shown = f"[{host}]" if ":" in host and not host.startswith("[") else host
    return f"{'https' if settings.dashboard_certfile else 'http'}://{shown}:{port}/"


def _say_who_may_enter(settings: DashboardSettings, accounts: Accounts) -> None:
    if not accounts.users.any() and not settings.trusted_header:
        log.warning(
            "no users: everyone at this machine is an engineer, other machines cannot connect; add users with "
            "`qc-dashboard users add`"
        )
    if not (is_loopback(settings.dashboard_host) or settings.dashboard_certfile or settings.trusted_proxies):
        log.warning(
            "nobody can sign in over plain HTTP from another machine: set dashboard_certfile, or trusted_proxies to "
            "the proxy that has TLS"
        )
