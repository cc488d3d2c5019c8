"""Settings of `qc-dashboard`: those of the worker, from the same sources, and its own.

In qc.toml its own ones stand in the table `[dashboard]`, so that worker and trainer can share the file.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, field_validator

from qc_worker.domain import names
from qc_worker.domain.inspection import Verdict
from qc_worker.runtime.home_folder import expanded
from qc_worker.settings import DASHBOARD_TABLE, Settings, load_settings_of

HISTORY_FILE = "history.sqlite3"
DEFAULT_DAYS: Mapping[Verdict, int] = {
    Verdict.REJECT: 365,
    Verdict.REVIEW: 365,
    Verdict.ERROR: 90,
    Verdict.NO_MODEL: 30,
    Verdict.PASS: 30,
}


class DashboardSettings(Settings):
    """All settings of the dashboard."""

    # Not in repr: the URL may hold a password.
    history_url: str = Field(default="", repr=False)
    """Database of the dashboard: `postgresql+psycopg://USER@HOST/NAME` or `sqlite:////FILE`; empty: the SQLite file
    `history.sqlite3` in the state folder."""

    # Not in repr: the URL may hold a password.
    archive_url: str = Field(default="", repr=False)
    """Folder or fsspec URL for the evidence of inspections; empty: `archive` in the state folder."""
    archive_days: dict[Verdict, Annotated[int, Field(ge=0)]] = Field(default_factory=lambda: dict(DEFAULT_DAYS))
    """Days for which evidence is kept, by verdict, such as `{reject = 365, pass = 30}`; 0: none is archived; verdicts
    that are not named have their defaults."""
    archive_pass_share: float = Field(default=0.01, ge=0, le=1)
    """Share of passed frames whose evidence is archived; up to `heatmap_pass_share` they have heatmaps."""
    archive_max_gib: float = Field(default=100, gt=0)
    """Largest size of the archive, GiB; over it the oldest passes go first, then errors, reviews and rejects."""

    review_pass_share: float = Field(default=0.001, ge=0, le=1)
    """Share of passed frames that is offered for review, so that people see accepted frames too and escapes can be
    estimated; up to `heatmap_pass_share` and `archive_pass_share` their pictures are kept."""
    review_kinds: tuple[str, ...] = ("scratch", "dent", "stain", "missing part", "other")
    """Kinds of defects that reviewers may name on lines that have no list of their own."""
    review_lease_s: float = Field(default=120, ge=5, le=3600)
    """Seconds for which a frame in review is one person's alone; an open page extends them."""

    @field_validator("review_kinds")
    @classmethod
    def _kinds(cls, kinds: tuple[str, ...]) -> tuple[str, ...]:
        if len({kind.casefold() for kind in map(names.defect_kind, kinds)}) < len(kinds):
            raise ValueError("a kind of defect is listed twice")
        return kinds

    @field_validator("archive_url")
    @classmethod
    def _archive_at_home(cls, url: str) -> str:
        return str(expanded(Path(url))) if url.startswith("~") else url

    @field_validator("archive_days")
    @classmethod
    def _with_defaults(cls, days: dict[Verdict, int]) -> dict[Verdict, int]:
        return {**DEFAULT_DAYS, **days}

    @property
    def archive_address(self) -> str:
        """The archive's URL. Raises SettingsError if the state folder is needed and not known."""
        return self.archive_url or str(self.state_path / "archive")

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
