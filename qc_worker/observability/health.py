"""Serves /livez, /readyz and /metrics over plain HTTP, for probes and Prometheus."""

import errno
import json
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from qc_worker.domain.errors import SettingsError

Checks = Callable[[], Mapping[str, bool]]


class HealthServer:
    """Answers probes from threads of its own; a check must be quick and must not raise."""

    def __init__(self, host: str, port: int, *, live: Checks, ready: Checks) -> None:
        self._pages: dict[str, Callable[[], tuple[HTTPStatus, str, bytes]]] = {
            "/livez": lambda: _checked(live()),
            "/readyz": lambda: _checked(ready()),
            "/metrics": lambda: (HTTPStatus.OK, CONTENT_TYPE_LATEST, generate_latest()),
        }
        self._server = _listening(host, port, self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, name="health", daemon=True)

    @property
    def url(self) -> str:
        host, port = self._server.server_address[:2]
        return f"http://{_in_url(str(host))}:{port}"

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        if self._thread.is_alive():
            self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        pages = self._pages

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.wfile.write(self._answer())

            def do_HEAD(self) -> None:
                self._answer()

            def _answer(self) -> bytes:
                """Send status and headers; return the body."""
                page = pages.get(self.path.partition("?")[0])
                status, content_type, body = page() if page else (HTTPStatus.NOT_FOUND, "text/plain", b"not found\n")
                self.send_response(status)
                self.send_header("Content-Type", content_type)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                return body

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (http.server's name)
                """Keep probes out of the log."""

        return Handler


class _Server(ThreadingHTTPServer):
    def __init__(
        self, family: socket.AddressFamily, address: tuple[Any, ...], handler: type[BaseHTTPRequestHandler]
    ) -> None:
        self.address_family = family  # http.server's default is IPv4 only
        super().__init__(address, handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore the error of a probe that did not wait for its answer."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


def _listening(host: str, port: int, handler: type[BaseHTTPRequestHandler]) -> _Server:
    """Open the server at the first usable address of the host, IPv4 before IPv6. Raises SettingsError."""
    refused = OSError(errno.EADDRNOTAVAIL, "it has no address")
    for family, address in _addresses(host, port):
        try:
            return _Server(family, address, handler)
        except OSError as error:
            refused = error
    if refused.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
        raise SettingsError(f"health_host {host}: {refused.strerror}; name an address of this machine")
    raise SettingsError(f"health port {_in_url(host)}:{port}: {refused.strerror}; choose another health_port")


def _addresses(host: str, port: int) -> list[tuple[socket.AddressFamily, tuple[Any, ...]]]:
    bare = host.removeprefix("[").removesuffix("]")
    try:
        found = socket.getaddrinfo(bare, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "not a name of a host"
        raise SettingsError(f"health_host {host}: {reason}; name an address of this machine") from None
    return sorted(((family, address) for family, _, _, _, address in found), key=lambda each: each[0])


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def _checked(checks: Mapping[str, bool]) -> tuple[HTTPStatus, str, bytes]:
    status = HTTPStatus.OK if all(checks.values()) else HTTPStatus.SERVICE_UNAVAILABLE
    return status, "application/json", json.dumps(dict(checks)).encode() + b"\n"
