"""`qc-dashboard`: keep the history of all inspections and show it."""

import typer

from qc_dashboard.options import HISTORY_URL
from qc_dashboard.settings import DashboardSettings
from qc_worker.observability.exits import run_command_line
from qc_worker.options import STATE_DIR, Version, with_settings

app = typer.Typer(name="qc-dashboard", no_args_is_help=True, pretty_exceptions_enable=False)


@app.callback()
def dashboard(version: Version = False) -> None:
    """Keep the history of all inspections, and show it."""


@app.command()
@with_settings(HISTORY_URL, STATE_DIR, kind=DashboardSettings)
def migrate(settings: DashboardSettings) -> None:
    """Bring the database's tables to the form that this version needs; `run` does it too."""
    from contextlib import closing

    from qc_dashboard.database.database import open_database

    with closing(open_database(settings.database_url)) as database:
        database.migrate()


def main() -> None:
    """Run the command line."""
    run_command_line(app)


if __name__ == "__main__":
    main()
