"""`qc-dashboard users` on a real database: changes, mistakes, and what the audit has of them."""

import getpass
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from qc_dashboard.cli import app
from qc_dashboard.commands import users
from qc_dashboard.settings import load_dashboard_settings
from qc_worker.domain.errors import SettingsError

PASSWORD = "correct horse battery"

Users = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Users:
    monkeypatch.setenv("QC_STATE_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)

    def users_command(*arguments: str, stdin: str = "") -> Result:
        return CliRunner().invoke(app, ["users", *arguments], input=stdin)

    return users_command


def listed(run: Users) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(run("list", "--json").stdout)["users"]
    return found


def test_users_are_added_changed_listed_and_removed(run: Users, tmp_path: Path) -> None:
    assert listed(run) == []
    assert "no users; `qc-dashboard users add" in run("list").stdout
    (tmp_path / "password").write_text(f"{PASSWORD}\r\n")
    added = run("add", "Änne [a]", "--role", "viewer", "--password-file", "password")
    assert (added.exit_code, added.stdout) == (0, "Änne [a] is viewer\n")
    assert run("role", "änne [a]", "engineer").exit_code == 0
    assert run("password", "änne [a]", "--password-file", "-", stdin="another password\n").exit_code == 0
    [user] = listed(run)
    assert (user["name"], user["role"], user["signed_in_at"]) == ("Änne [a]", "engineer", None)
    assert " Änne [a] " in run("list").stdout
    assert run("remove", "ÄNNE [A]").exit_code == 0
    assert listed(run) == []


def test_audit_has_who_ran_each_command(run: Users) -> None:
    run("add", "anna", "--role", "viewer", "--password-file", "-", stdin=PASSWORD)
    run("role", "anna", "operator")
    run("remove", "nobody")
    with users.opened(load_dashboard_settings()) as accounts:
        rows = accounts.audit.newest(10)
    assert [(row.action, row.subject, row.proof) for row in rows] == [
        ("set role", "anna (operator)", "command line"),
        ("add user", "anna (viewer)", "command line"),
    ]
    assert rows[0].name == getpass.getuser()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("add", "anna", "--role", "viewer"), "error: there is no terminal to type a password into"),
        (("add", "anna", "--role", "viewer", "--password-file", "-"), "error: the password is too short"),
        (("add", "anna", "--role", "viewer", "--password-file", "nothing"), "error: cannot read or write nothing"),
        (("add", "anna", "--role", "viewer", "--password-file", "two-lines"), "error: two-lines has more than one"),
        (("add", "anna", "--role", "viewer", "--password-file", "picture"), "error: picture is not a text"),
        (("add", "", "--role", "viewer", "--password-file", "-"), "error: the user's name is empty"),
        (("add", "taken", "--role", "viewer"), "error: user taken exists already"),
        (("remove", "anna"), "error: no user anna"),
        (("role", "anna", "engineer"), "error: no user anna"),
        (("password", "anna"), "error: no user anna"),
    ],
)
def test_mistakes_are_told_with_exit_code_2(run: Users, tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    (tmp_path / "two-lines").write_text(f"{PASSWORD}\n{PASSWORD}\n")
    (tmp_path / "picture").write_bytes(b"\xff\xd8")
    assert run("add", "taken", "--role", "viewer", "--password-file", "-", stdin=PASSWORD).exit_code == 0
    done = run(*arguments, stdin="short\n")
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith(said)


def test_password_is_asked_for_twice_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([PASSWORD, PASSWORD, PASSWORD, "mistyped"])
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr(getpass, "getpass", lambda _prompt: next(answers))
    assert users.read_password(None) == PASSWORD
    with pytest.raises(SettingsError, match="differ"):
        users.read_password(None)
