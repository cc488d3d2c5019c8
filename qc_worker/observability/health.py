"""/livez, /readyz and /metrics over plain HTTP, for probes and Prometheus."""

import json
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
        try:
            self._server = _Server((host, port), self._handler())
        except OSError as error:
            raise SettingsError(f"health port {host}:{port}: {error.strerror}; choose another health_port") from None
        self._thread = threading.Thread(target=self._server.serve_forever, name="health", daemon=True)

    @property
    def url(self) -> str:
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}"

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
                page = pages.get(self.path.partition("?")[0])
                status, content_type, body = page() if page else (HTTPStatus.NOT_FOUND, "text/plain", b"not found\n")
                self.send_response(status)
                self.send_header("Content-Type", content_type)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (http.server's name)
                """Keep probes out of the log."""

        return Handler


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Keep quiet about a probe that did not wait for its answer."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


def _checked(checks: Mapping[str, bool]) -> tuple[HTTPStatus, str, bytes]:
    status = HTTPStatus.OK if all(checks.values()) else HTTPStatus.SERVICE_UNAVAILABLE
    return status, "application/json", json.dumps(dict(checks)).encode() + b"\n"
