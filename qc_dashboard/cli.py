"""`qc-dashboard`: keep the history of all inspections and show it."""

from typing import Annotated

import typer

from qc_dashboard.options import HISTORY_URL, LOG_FORMAT
from qc_dashboard.settings import DashboardSettings
from qc_worker.observability.exits import run_command_line
from qc_worker.options import KAFKA, STATE_DIR, Json, Version, with_settings

app = typer.Typer(name="qc-dashboard", no_args_is_help=True, pretty_exceptions_enable=False)


@app.callback()
def dashboard(version: Version = False) -> None:
    """Keep the history of all inspections, and show it."""


@app.command()
@with_settings(KAFKA, HISTORY_URL, STATE_DIR, LOG_FORMAT, kind=DashboardSettings)
def run(settings: DashboardSettings) -> None:
    """Write the history of `results` and show it, until SIGTERM or Ctrl-C."""
    from qc_dashboard.commands.run import run_dashboard

    run_dashboard(settings)


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


@app.command()
@with_settings(HISTORY_URL, STATE_DIR, kind=DashboardSettings)
def report(
    line: Annotated[str, typer.Option("--line", help="Line to report on.")],
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
    """Print the figures of a line in a span of time: yield, defects, estimated false rejects and escapes."""
    from qc_dashboard.commands.report import print_report

    print_report(settings, line=line, since=since, until=until, as_json=as_json, csv=csv)


def main() -> None:
    """Run the command line."""
    run_command_line(app)


if __name__ == "__main__":
    main()
