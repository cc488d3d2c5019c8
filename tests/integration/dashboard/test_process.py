"""`qc-dashboard` from outside: users, start, stop, exit codes."""

import json
import signal
import socket
import ssl
import subprocess
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.conftest import eventually
from tests.support.pages import Dashboard, command, running_dashboard

PASSWORD = "correct horse battery"


def test_user_that_was_added_is_listed(tmp_path: Path) -> None:
    added = command(tmp_path, "users", "add", "Änne", "--role", "viewer", "--password-file", "-", stdin=PASSWORD)
    assert (added.returncode, added.stdout, added.stderr) == (0, "Änne is viewer\n", "")
    [user] = json.loads(command(tmp_path, "users", "list", "--json").stdout)["users"]
    assert (user["name"], user["role"], user["signed_in_at"]) == ("Änne", "viewer", None)


def test_without_users_other_addresses_are_refused_in_one_line(tmp_path: Path) -> None:
    done = command(tmp_path, "run", "--host", "0.0.0.0", "--port", "0")
    assert done.returncode == 2
    assert done.stderr.startswith(
        "error: without users the dashboard serves this machine only, not 0.0.0.0: add a user"
    )
    assert done.stderr.count("\n") == 1


def test_with_users_it_serves_every_address(tmp_path: Path) -> None:
    command(tmp_path, "users", "add", "anna", "--role", "viewer", "--password-file", "-", stdin=PASSWORD)
    dashboard = Dashboard(tmp_path, {}, "--host", "0.0.0.0")
    try:
        dashboard.wait_until_ready()
        warnings = [line["event"] for line in dashboard.log() if line["level"] == "warning"]
        assert warnings[0].startswith("nobody can sign in over plain HTTP from another machine")
    finally:
        assert dashboard.stop() == 0


def test_port_in_use_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = command(tmp_path, "run", "--port", str(taken.getsockname()[1]))
    assert done.returncode == 2
    assert "choose another dashboard_host or dashboard_port" in done.stderr.splitlines()[-1]


def test_database_that_is_away_is_worth_another_start(tmp_path: Path) -> None:
    done = command(tmp_path, "run", "--port", "0", "--history", "postgresql://qc@127.0.0.1:1/history")
    assert done.returncode == 75
    assert done.stderr.startswith("error: history database: ")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_it_in_order(tmp_path: Path, number: signal.Signals) -> None:
    with running_dashboard(tmp_path, {}) as dashboard:
        events = [line["event"] for line in dashboard.log()]
        assert events[0].startswith("no users: everyone at this machine is an engineer")
        assert dashboard.stop(number) == 0
        assert dashboard.log()[-1]["event"] == "dashboard stopped"


def test_connection_that_sends_nothing_does_not_delay_the_end(tmp_path: Path) -> None:
    with running_dashboard(tmp_path, {}) as dashboard:
        port = int(dashboard.url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)) as idle:
            idle.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n")
            assert dashboard.stop() == 0


def test_certificate_is_served(tmp_path: Path) -> None:
    both = tmp_path / "both.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", both, "-out", tmp_path / "certificate.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    both.write_text(both.read_text() + (tmp_path / "certificate.pem").read_text())
    dashboard = Dashboard(tmp_path, {"QC_DASHBOARD_CERTFILE": str(both)})
    trusting = ssl.create_default_context(cafile=str(tmp_path / "certificate.pem"))
    try:
        eventually(lambda: dashboard.url or dashboard.pause())
        with urlopen(f"{dashboard.url}/livez", context=trusting, timeout=5) as answer:
            assert json.load(answer) == {"answers": True}
        assert dashboard.url.startswith("https://")
    finally:
        assert dashboard.stop() == 0


def test_certificate_that_is_none_is_exit_code_2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "wrong.pem").write_text("nothing")
    for file in ("wrong.pem", "missing.pem"):
        monkeypatch.setenv("QC_DASHBOARD_CERTFILE", str(tmp_path / file))
        done = command(tmp_path, "run", "--port", "0")
        assert done.returncode == 2
        assert "dashboard_certfile" in done.stderr.splitlines()[-1]
