"""`qc-dashboard`: keep the history of all inspections and show it."""

from pathlib import Path
from typing import Annotated

import typer

from qc_dashboard.accounts.roles import Role
from qc_dashboard.options import HISTORY_URL, HOST, LOG_FORMAT, PORT
from qc_dashboard.settings import DashboardSettings
from qc_worker.observability.exits import run_command_line
from qc_worker.options import KAFKA, STATE_DIR, Json, Version, with_settings

app = typer.Typer(name="qc-dashboard", no_args_is_help=True, pretty_exceptions_enable=False)
users = typer.Typer(name="users", no_args_is_help=True, help="Who may enter, with which role.")
app.add_typer(users)

Name = Annotated[str, typer.Argument(help="Name of the user.")]
PasswordFile = Annotated[
    Path | None,
    typer.Option(help="File that holds only the password, - for stdin; without it the command asks for it."),
]
AnyRole = Annotated[Role, typer.Argument(help="New role.")]
NEW_ROLE = typer.Option("--role", help="viewer: looks; operator: judges frames too; engineer: everything.")


@app.callback()
def dashboard(version: Version = False) -> None:
    """Keep the history of all inspections, and show it."""


@app.command()
@with_settings(HOST, PORT, KAFKA, HISTORY_URL, STATE_DIR, LOG_FORMAT, kind=DashboardSettings)
def run(settings: DashboardSettings) -> None:
    """Write the history of `results` and serve the pages, until SIGTERM or Ctrl-C."""
    from qc_dashboard.commands.run import run_dashboard

    run_dashboard(settings)


@app.command()
@with_settings(HISTORY_URL, STATE_DIR, kind=DashboardSettings)
def migrate(settings: DashboardSettings) -> None:
    """Bring the database's tables to the form that this version needs; `run` does it too."""
    from contextlib import closing

    from qc_dashboard.database.database import open_database

    with closing(open_database(settings.database_url)) as database:
        database.migrate()


@app.command()
@with_settings(KAFKA, HISTORY_URL, STATE_DIR, kind=DashboardSettings)
def rebuild(
    forget_older: Annotated[
        bool,
        typer.Option("--forget-older", help="Delete also what `results` does not hold any more: the topic is new."),
    ] = False,
    *,
    settings: DashboardSettings,
    as_json: Json = False,
) -> None:
    """Make the history again from the topics, in place of the one that there is; `run` may go on meanwhile."""
    from qc_dashboard.commands.rebuild import rebuild_history

    rebuild_history(settings, forget_older=forget_older, as_json=as_json)


@users.command("add")
@with_settings(HISTORY_URL, STATE_DIR, kind=DashboardSettings)
def users_add(
    settings: DashboardSettings, name: Name, role: Annotated[Role, NEW_ROLE], password_file: PasswordFile = None
) -> None:
    """Add a user."""
    from qc_dashboard.commands.users import add_user

    add_user(settings, name, role, password_file)


@users.command("list")
@with_settings(HISTORY_URL, STATE_DIR, kind=DashboardSettings)
def users_list(settings: DashboardSettings, as_json: Json = False) -> None:
    """List all users with their roles."""
    from qc_dashboard.commands.users import list_users

    list_users(settings, as_json=as_json)


@users.command("remove")
@with_settings(HISTORY_URL, STATE_DIR, kind=DashboardSettings)
def users_remove(settings: DashboardSettings, name: Name) -> None:
    """Remove a user, and sign them out."""
    from qc_dashboard.commands.users import remove_user

    remove_user(settings, name)


@users.command("password")
@with_settings(HISTORY_URL, STATE_DIR, kind=DashboardSettings)
def users_password(settings: DashboardSettings, name: Name, password_file: PasswordFile = None) -> None:
    """Set a user's password, and sign them out everywhere."""
    from qc_dashboard.commands.users import change_password

    change_password(settings, name, password_file)


@users.command("role")
@with_settings(HISTORY_URL, STATE_DIR, kind=DashboardSettings)
def users_role(settings: DashboardSettings, name: Name, role: AnyRole) -> None:
    """Set a user's role."""
    from qc_dashboard.commands.users import change_role

    change_role(settings, name, role)


@app.command()
@with_settings(HISTORY_URL, STATE_DIR, kind=DashboardSettings)
def report(
    lines: Annotated[
        list[str], typer.Option("--line", help="Line to report on, may be given several times; default: all lines.")
    ] = [],  # noqa: B006  (typer copies it)
    since: Annotated[
        str | None, typer.Option("--from", help="Start, ISO 8601 with an offset; default: 8 hours before the end.")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--to", help="End, ISO 8601 with an offset, not included; default: now.")
    ] = None,
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    *,
    settings: DashboardSettings,
    as_json: Json = False,
) -> None:
    """Print the figures of lines in a span of time: yield, defects, estimated false rejects and escapes."""
    from qc_dashboard.commands.report import print_report

    print_report(settings, lines=lines, since=since, until=until, as_json=as_json, csv=csv)


def main() -> None:
    """Run the command line."""
    run_command_line(app)


if __name__ == "__main__":
    main()
