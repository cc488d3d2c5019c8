"""`qc-dashboard users`: who may enter, with which role."""

import getpass
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import typer

from qc_dashboard.accounts.accounts import Accounts
from qc_dashboard.accounts.audit import THIS_MACHINE, AuditEntry
from qc_dashboard.accounts.identity import Identity, Proof
from qc_dashboard.accounts.passwords import MAX_PASSWORD_LENGTH
from qc_dashboard.accounts.roles import Role
from qc_dashboard.accounts.times import time_of
from qc_dashboard.settings import DashboardSettings
from qc_dashboard.wiring.dashboard import migrated_database
from qc_dashboard.wiring.serving import build_accounts
from qc_worker.domain.errors import SettingsError
from qc_worker.observability.printing import print_json, print_table

STDIN = Path("-")


@contextmanager
def opened(settings: DashboardSettings) -> Iterator[Accounts]:
    """Open the accounts of the settings' database."""
    with migrated_database(settings) as database:
        yield build_accounts(settings, database)


def add_user(settings: DashboardSettings, name: str, role: Role, password_file: Path | None) -> None:
    """Add a user. Raises SettingsError."""
    with opened(settings) as accounts:
        if accounts.users.find(name):
            raise SettingsError(f"user {name} exists already")
        password = read_password(password_file)
        added = accounts.users.add(name, password, role, by=entry("add user", f"{name} ({role})"))
    typer.echo(f"{added} is {role}")


def remove_user(settings: DashboardSettings, name: str) -> None:
    """Remove a user. Raises SettingsError."""
    with opened(settings) as accounts:
        accounts.users.remove(name, by=entry("remove user", name))
    typer.echo(f"{name} was removed and is signed out")


def change_password(settings: DashboardSettings, name: str, password_file: Path | None) -> None:
    """Set a user's password. Raises SettingsError."""
    with opened(settings) as accounts:
        if accounts.users.find(name) is None:
            raise SettingsError(f"no user {name}: `qc-dashboard users list` shows all")
        accounts.users.set_password(name, read_password(password_file), by=entry("set password", name))
    typer.echo(f"{name} has a new password and is signed out")


def change_role(settings: DashboardSettings, name: str, role: Role) -> None:
    """Set a user's role. Raises SettingsError."""
    with opened(settings) as accounts:
        accounts.users.set_role(name, role, by=entry("set role", f"{name} ({role})"))
    typer.echo(f"{name} is {role}")


def list_users(settings: DashboardSettings, *, as_json: bool) -> None:
    """Print all users."""
    with opened(settings) as accounts:
        users = accounts.users.all()
    if as_json:
        rows = [
            {
                "name": user.name,
                "role": user.role,
                "created_at": shown(user.created_us),
                "signed_in_at": shown(user.signed_in_us),
            }
            for user in users
        ]
        print_json({"users": rows})
    elif not users:
        typer.echo("no users; `qc-dashboard users add NAME --role engineer` adds one")
    else:
        cells = [
            (user.name, user.role.value, shown(user.created_us) or "", shown(user.signed_in_us) or "never")
            for user in users
        ]
        print_table(("user", "role", "created", "signed in last"), cells)


def read_password(file: Path | None) -> str:
    """Read a password from a file (`-`: standard input) or ask for it twice. Raises SettingsError."""
    if file is not None:
        return _of_file(file)
    if not sys.stdin.isatty():
        raise SettingsError("there is no terminal to type a password into: give --password-file FILE, - for stdin")
    password = getpass.getpass("Password: ")
    if getpass.getpass("Again: ") != password:
        raise SettingsError("the two passwords differ; nothing was changed")
    return password


def shown(us: int | None) -> str | None:
    """Format a time to the second."""
    return None if us is None else _seconds(time_of(us))


def entry(action: str, subject: str) -> AuditEntry:
    """Make the audit's row of a command: the operating system's user did it."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        name = "unknown"
    return AuditEntry(Identity(name, Role.ENGINEER, Proof.COMMAND_LINE), THIS_MACHINE, action, subject)


def _of_file(file: Path) -> str:
    try:
        text = sys.stdin.readline() if file == STDIN else file.read_text(encoding="utf-8")
    except UnicodeError:
        raise SettingsError(f"{file} is not a text in UTF-8") from None
    if len(text) > MAX_PASSWORD_LENGTH + 2:
        raise SettingsError(f"{file} has more than a password: it must hold the password alone, in one line")
    password = text.rstrip("\r\n")
    if "\n" in password:
        raise SettingsError(f"{file} has more than one line: it must hold the password alone")
    return password


def _seconds(time: datetime) -> str:
    return time.isoformat(timespec="seconds")
