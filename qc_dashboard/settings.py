"""Settings of `qc-dashboard`: those of the worker, from the same sources, and its own.

In qc.toml its own ones stand in the table `[dashboard]`, so that worker and trainer can share the file.
"""

from typing import Any

from pydantic import Field

from qc_worker.settings import DASHBOARD_TABLE, Settings, load_settings_of

HISTORY_FILE = "history.sqlite3"


class DashboardSettings(Settings):
    """All settings of the dashboard."""

    # Not in repr: the URL may hold a password.
    history_url: str = Field(default="", repr=False)
    """Database of the dashboard: `postgresql+psycopg://USER@HOST/NAME` or `sqlite:////FILE`; empty: the SQLite file
    `history.sqlite3` in the state folder."""

    @property
    def database_url(self) -> str:
        """The database's URL. Raises SettingsError if the state folder is needed and not known."""
        return self.history_url or f"sqlite:///{self.state_path / HISTORY_FILE}"

    @classmethod
    def _of_file(cls, tables: dict[str, Any]) -> dict[str, Any]:
        own = tables.get(DASHBOARD_TABLE, {})
        return {**super()._of_file(tables), **(own if isinstance(own, dict) else {DASHBOARD_TABLE: own})}


def load_dashboard_settings(**flags: Any) -> DashboardSettings:
    """Build the settings; flags that are None or empty count as not given. Raises SettingsError."""
    return load_settings_of(DashboardSettings, **flags)
