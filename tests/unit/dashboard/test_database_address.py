"""URLs of the database: what is accepted, and what an error says."""

from pathlib import Path

import pytest

from qc_dashboard.database.address import database_address
from qc_dashboard.database.database import open_database
from qc_dashboard.settings import load_dashboard_settings
from qc_worker.domain.errors import SettingsError, TransportError
from qc_worker.settings import load_settings


@pytest.mark.parametrize(
    ("given", "driver"),
    [
        ("sqlite:////var/lib/qc/history.sqlite3", "sqlite"),
        ("sqlite+pysqlite:///history.sqlite3", "sqlite"),
        ("postgresql+psycopg://qc@db/history", "postgresql+psycopg"),
        ("postgresql://qc@db/history", "postgresql+psycopg"),
        ("postgres://qc@db/history", "postgresql+psycopg"),
    ],
)
def test_drivers(given: str, driver: str) -> None:
    assert database_address(given).drivername == driver


@pytest.mark.parametrize(
    "given",
    [
        "history.sqlite3",
        "postgresql://qc:secret@db:port/history",
        "mysql://qc:secret@db/history",
        "postgresql+psycopg2://qc:secret@db/history",
        "postgresql://qc:secret@db",
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite+pysqlcipher://:secret@/history",
    ],
)
def test_other_urls_are_refused_in_one_line_without_the_password(given: str) -> None:
    with pytest.raises(SettingsError) as refused:
        database_address(given)
    assert "secret" not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_password_is_in_no_error_and_no_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QC_HISTORY_URL", "postgresql://qc:secret@127.0.0.1:1/history")
    settings = load_dashboard_settings(state_dir=tmp_path)
    database = open_database(settings.database_url)
    with pytest.raises(TransportError) as away, database.reading():
        pass
    assert "secret" not in f"{away.value}{settings!r}{database.engine!r}"
    assert "\n" not in str(away.value)


def test_history_is_a_file_in_the_state_folder_by_default(tmp_path: Path) -> None:
    settings = load_dashboard_settings(state_dir=tmp_path / "state")
    with open_database(settings.database_url).reading():
        assert (tmp_path / "state" / "history.sqlite3").exists()


def test_folder_that_cannot_be_made_is_a_settings_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match="not a folder"):
        open_database(f"sqlite:///{tmp_path / 'file' / 'history.sqlite3'}")


def test_file_that_is_no_database_is_a_settings_error(tmp_path: Path) -> None:
    (tmp_path / "history.sqlite3").write_bytes(b"not a database" * 1000)
    with pytest.raises(SettingsError, match="QC_HISTORY_URL"):
        open_database(f"sqlite:///{tmp_path / 'history.sqlite3'}").migrate()


def test_dashboard_has_a_table_of_its_own_in_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "qc.toml").write_text('images_topic = "pictures"\n[dashboard]\nhistory_url = "sqlite:///here"\n')
    settings = load_dashboard_settings()
    assert (settings.images_topic, settings.history_url) == ("pictures", "sqlite:///here")
    assert load_settings().images_topic == "pictures"


def test_unknown_name_in_the_dashboards_table_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "qc.toml").write_text('[dashboard]\nhistory = "sqlite:///here"\n')
    with pytest.raises(SettingsError, match="history"):
        load_dashboard_settings()
