"""Serve the app by uvicorn: on sockets that are opened first, until a signal, with an end in any case."""

import asyncio
import os
import signal
import socket
import ssl
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import structlog
import uvicorn
from starlette.applications import Starlette

from qc_worker.domain.errors import SettingsError

HARD_EXIT = 137
"""Exit code of a process that SIGKILL ended; as a worker's second signal."""
GRACE_S = 6
"""Time for requests that are being answered when the signal comes."""
LATEST_EXIT_S = 9.0
"""Time for stopping in order; less than the 10 s after which `docker stop` kills."""
MAX_CONNECTIONS = 512
SIGNALS = (signal.SIGTERM, signal.SIGINT)

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Tls:
    """Files of the server's certificate."""

    certfile: Path
    keyfile: Path | None


def open_sockets(host: str, port: int) -> list[socket.socket]:
    """Listen on every address of the host; port 0: a free one, the same on all. Raises SettingsError."""
    bare = host.removeprefix("[").removesuffix("]")
    try:
        found = socket.getaddrinfo(bare, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "not the name of a host"
        raise SettingsError(f"dashboard_host {host}: {reason}; name an address of this machine") from None
    opened: list[socket.socket] = []
    try:
        for family, address in sorted({(family, address) for family, _, _, _, address in found}):
            chosen = opened[0].getsockname()[1] if opened else port
            opened.append(_listening(family, (address[0], chosen, *address[2:])))
    except OSError as error:
        for each in opened:
            each.close()
        raise SettingsError(
            f"dashboard address {host}:{port}: {error.strerror}; choose another dashboard_host or dashboard_port"
        ) from None
    return opened


def serve(app: Starlette, sockets: Sequence[socket.socket], *, tls: Tls | None = None) -> None:
    """Answer requests until SIGTERM or SIGINT; a second signal ends the process at once. Raises SettingsError."""
    try:
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            proxy_headers=False,  # `peer_of` reads them
            server_header=False,
            ws="none",
            lifespan="off",
            limit_concurrency=MAX_CONNECTIONS,
            timeout_graceful_shutdown=GRACE_S,
            ssl_certfile=tls.certfile if tls else None,
            ssl_keyfile=tls.keyfile if tls else None,
        )
        config.load()
    except (ssl.SSLError, OSError) as error:
        raise SettingsError(f"dashboard_certfile cannot be used: {error.strerror or error}") from None
    _Server(config, app.state.web.stopping).run(sockets=list(sockets))


class _Server(uvicorn.Server):
    """uvicorn that ends with exit code 0 at a signal, as all our services do, and tells streams to end."""

    def __init__(self, config: uvicorn.Config, stopping: asyncio.Event) -> None:
        super().__init__(config)
        self._stopping = stopping

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle signals; uvicorn's own version raises them again after it has stopped."""
        loop = asyncio.get_running_loop()

        def stop(_number: int, _frame: FrameType | None) -> None:
            if self.should_exit:
                os._exit(HARD_EXIT)
            self.should_exit = True
            loop.call_soon_threadsafe(self._stopping.set)
            watchdog = threading.Timer(LATEST_EXIT_S, os._exit, (HARD_EXIT,))
            watchdog.daemon = True
            watchdog.start()

        before = {number: signal.signal(number, stop) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _listening(family: socket.AddressFamily, address: tuple[object, ...]) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(address)
        listener.listen(2048)
    except OSError:
        listener.close()
        raise
    return listener
