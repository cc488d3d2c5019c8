import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from qc_worker.domain.errors import SettingsError
from qc_worker.observability.health import HealthServer


@contextmanager
def health(ready: dict[str, bool], host: str = "127.0.0.1") -> Iterator[HealthServer]:
    server = HealthServer(host, 0, live=lambda: {"looping": True}, ready=lambda: ready)
    server.start()
    yield server
    server.close()


def get(server: HealthServer, path: str) -> tuple[int, str]:
    try:
        with urlopen(server.url + path, timeout=5) as page:
            return page.status, page.read().decode()
    except HTTPError as error:
        return error.code, error.read().decode()


def test_ready_only_if_every_check_holds() -> None:
    with health({"assigned": True, "model_resident": True}) as server:
        assert get(server, "/readyz")[0] == 200
    with health({"assigned": True, "model_resident": False}) as server:
        status, body = get(server, "/readyz")
    assert (status, json.loads(body)) == (503, {"assigned": True, "model_resident": False})


def test_pages_are_live_metrics_and_nothing_else() -> None:
    with health({}) as server:
        assert get(server, "/livez")[0] == 200
        assert "python_info" in get(server, "/metrics")[1]
        assert get(server, "/etc/passwd")[0] == 404


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics", "/nowhere"])
def test_head_is_answered_as_get_without_a_body(path: str) -> None:
    with health({"assigned": False}) as server:
        answers = {method: asked(server, method, path) for method in ("GET", "HEAD")}
    assert answers["HEAD"][:2] == answers["GET"][:2]
    assert answers["GET"][2]
    assert not answers["HEAD"][2]


def asked(server: HealthServer, method: str, path: str) -> tuple[int, str | None, bytes]:
    connection = HTTPConnection(server.url.removeprefix("http://"), timeout=5)
    connection.request(method, path)
    answer = connection.getresponse()
    kind, content = answer.getheader("Content-Type"), answer.read()
    connection.close()
    return answer.status, kind, content


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
@pytest.mark.parametrize("host", ["::1", "[::1]", "::", "localhost", "0.0.0.0"])
def test_it_listens_on_ipv4_and_ipv6(host: str) -> None:
    with health({}, host) as server:
        assert get(server, "/livez")[0] == 200


@pytest.mark.parametrize("host", ["203.0.113.1", "2001:db8::1", "a" * 300])
def test_an_address_that_is_not_ours_is_a_settings_error(host: str) -> None:
    with pytest.raises(SettingsError, match="health_host"):
        HealthServer(host, 0, live=dict, ready=dict)


def test_localhost_is_where_probes_of_ipv4_look() -> None:
    with health({}, "localhost") as server:
        assert server.url.startswith("http://127.")


def test_a_probe_that_does_not_wait_leaves_no_traceback(capfd: pytest.CaptureFixture[str]) -> None:
    asked, gone = threading.Event(), threading.Event()

    def ready() -> dict[str, bool]:
        asked.set()
        gone.wait(5)
        return {"x" * 100_000: True}

    server = HealthServer("127.0.0.1", 0, live=dict, ready=ready)
    server.start()
    with socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2]))) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # closing resets the connection
        probe.sendall(b"GET /readyz HTTP/1.0\r\n\r\n")
        asked.wait(5)
    gone.set()
    server.close()  # waits for the answer in hand
    assert "Traceback" not in capfd.readouterr().err


def test_a_taken_port_is_a_settings_error() -> None:
    with health({}) as server:
        port = int(server.url.rpartition(":")[2])
        with pytest.raises(SettingsError, match="choose another health_port"):
            HealthServer("127.0.0.1", port, live=dict, ready=dict)
