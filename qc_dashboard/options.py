"""Command-line options of `qc-dashboard`."""

from typing import Annotated

import typer

from qc_worker.options import SettingOption

HISTORY_URL = SettingOption(
    "history_url",
    Annotated[str | None, typer.Option("--history", help="URL of the history's database, PostgreSQL or SQLite.")],
)
HOST = SettingOption(
    "dashboard_host",
    Annotated[str | None, typer.Option("--host", help="Address to serve on; beyond this machine only with users.")],
)
PORT = SettingOption(
    "dashboard_port", Annotated[int | None, typer.Option("--port", help="Port to serve on; 0 for any free one.")]
)
LOG_FORMAT = SettingOption("log_format", Annotated[str | None, typer.Option(help="Log format: auto, json or console.")])
