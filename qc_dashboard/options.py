"""Command-line options of `qc-dashboard`."""

from typing import Annotated

import typer

from qc_worker.options import SettingOption

HISTORY_URL = SettingOption(
    "history_url",
    Annotated[str | None, typer.Option("--history", help="URL of the history's database, PostgreSQL or SQLite.")],
)
LOG_FORMAT = SettingOption("log_format", Annotated[str | None, typer.Option(help="Log format: auto, json or console.")])
