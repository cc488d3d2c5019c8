import json
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from qc_worker.domain.errors import SettingsError
from qc_worker.observability.health import HealthServer


@contextmanager
def health(ready: dict[str, bool]) -> Iterator[HealthServer]:
    server = HealthServer("127.0.0.1", 0, live=lambda: {"looping": True}, ready=lambda: ready)
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


def test_a_taken_port_is_a_settings_error() -> None:
    with health({}) as server:
        port = int(server.url.rpartition(":")[2])
        with pytest.raises(SettingsError, match="choose another health_port"):
            HealthServer("127.0.0.1", port, live=dict, ready=dict)
