"""Settings of `qc-dashboard`: those of the worker, from the same sources, and its own.

In qc.toml its own ones stand in the table `[dashboard]`, so that worker and trainer can share the file.
"""

import re
from collections.abc import Mapping
from datetime import datetime, time
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

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
HEADER_NAME = re.compile(r"[A-Za-z0-9-]{1,64}", re.ASCII)


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

    shifts: tuple[str, ...] = ("06:00", "14:00", "22:00")
    """Times at which the plant's shifts begin, in `time_zone`; each lasts until the next one begins."""
    time_zone: str = "UTC"
    """Time zone of the plant, as `Europe/Berlin`: for shifts and days in reports."""

    @field_validator("shifts")
    @classmethod
    def _are_starts(cls, starts: tuple[str, ...]) -> tuple[str, ...]:
        if not starts:
            raise ValueError("name at least one start of a shift, as 06:00")
        for start in starts:
            shift_start(start)
        return starts

    @field_validator("time_zone")
    @classmethod
    def _is_zone(cls, name: str) -> str:
        zone_named(name)
        return name

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

    dashboard_host: str = "127.0.0.1"
    """Address on which the pages are served; beyond this machine only with users or with a trusted header."""
    dashboard_port: int = Field(default=8090, ge=0, le=65535)
    """Port of the pages; 0: any free one."""
    dashboard_names: str = ""
    """Names under which browsers reach the pages, comma-separated, as `qc.plant.example`. Addresses and the machine's
    own name are always accepted, other names are refused."""
    dashboard_certfile: Path | None = None
    """File with the server's certificate and its chain, in PEM form; empty: plain HTTP, as behind a proxy that has
    TLS."""
    dashboard_keyfile: Path | None = None
    """File with the private key of that certificate, in PEM form; empty: it is in the certificate's file."""
    session_idle_s: int = Field(default=12 * 3600, ge=60)
    """Seconds without a request after which somebody has to sign in again."""
    session_total_s: int = Field(default=7 * 24 * 3600, ge=60)
    """Seconds after which somebody has to sign in again in any case."""
    trusted_proxies: str = ""
    """Addresses or networks of reverse proxies, comma-separated; what they say of client, protocol and user counts."""
    trusted_header: str = ""
    """Header in which these proxies name the user, as `X-Forwarded-User`; from anybody else it is refused."""
    trusted_header_role: Literal["viewer", "operator", "engineer"] = "viewer"
    """Role of somebody whom the header names and who is no user here."""

    @field_validator("trusted_proxies")
    @classmethod
    def _are_networks(cls, text: str) -> str:
        networks_of(text)
        return text

    @field_validator("trusted_header")
    @classmethod
    def _is_header(cls, name: str) -> str:
        if name and not HEADER_NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not the name of a header")
        return name

    @field_validator("dashboard_certfile", "dashboard_keyfile")
    @classmethod
    def _may_be_at_home(cls, path: Path | None) -> Path | None:
        return None if path is None else expanded(path)

    @property
    def database_url(self) -> str:
        """The database's URL. Raises SettingsError if the state folder is needed and not known."""
        return self.history_url or f"sqlite:///{self.state_path / HISTORY_FILE}"

    @property
    def proxy_networks(self) -> tuple[IPv4Network | IPv6Network, ...]:
        """Networks of the trusted proxies."""
        return networks_of(self.trusted_proxies)

    @property
    def shift_starts(self) -> tuple[time, ...]:
        """Times at which shifts begin."""
        return tuple(map(shift_start, self.shifts))

    @property
    def zone(self) -> ZoneInfo:
        """The plant's time zone."""
        return zone_named(self.time_zone)

    @property
    def page_names(self) -> tuple[str, ...]:
        """Names under which browsers reach the pages, besides the machine's own."""
        return tuple(name.strip().lower() for name in self.dashboard_names.split(",") if name.strip())

    @classmethod
    def _of_file(cls, tables: dict[str, Any]) -> dict[str, Any]:
        own = tables.get(DASHBOARD_TABLE, {})
        return {**super()._of_file(tables), **(own if isinstance(own, dict) else {DASHBOARD_TABLE: own})}


def load_dashboard_settings(**flags: Any) -> DashboardSettings:
    """Build the settings; flags that are None or empty count as not given. Raises SettingsError."""
    return load_settings_of(DashboardSettings, **flags)


def networks_of(text: str) -> tuple[IPv4Network | IPv6Network, ...]:
    """Parse comma-separated addresses and networks. Raises ValueError."""
    return tuple(ip_network(part.strip()) for part in text.split(",") if part.strip())


def shift_start(text: str) -> time:
    """Parse the start of a shift, as `06:00`. Raises ValueError."""
    try:
        return datetime.strptime(text, "%H:%M").time()
    except ValueError:
        raise ValueError(f"{text[:80]!r} is not the start of a shift: give hours and minutes, as 06:00") from None


def zone_named(name: str) -> ZoneInfo:
    """Find a time zone. Raises ValueError."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"{name[:80]!r} is not a time zone: give one such as Europe/Berlin") from None
