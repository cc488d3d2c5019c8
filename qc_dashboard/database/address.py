"""Check the database's URL, and say what is wrong with it without printing a password."""

from pathlib import Path

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from qc_worker.domain.errors import SettingsError
from qc_worker.runtime.state_folder import refused

SQLITE = "sqlite"
POSTGRESQL = "postgresql+psycopg"
DRIVERS = {
    "sqlite": SQLITE,
    "sqlite+pysqlite": SQLITE,
    "postgres": POSTGRESQL,
    "postgresql": POSTGRESQL,
    "postgresql+psycopg": POSTGRESQL,
}
EXPECTED = "give postgresql+psycopg://USER@HOST/NAME, sqlite:////FOLDER/FILE, or nothing"


def database_address(text: str) -> URL:
    """Parse the URL of a database that the dashboard can use. Raises SettingsError."""
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        # The parser's own message repeats the URL, and with it the password.
        raise SettingsError(f"history_url is not the URL of a database: {EXPECTED}") from None
    if url.drivername not in DRIVERS:
        raise SettingsError(f"history_url: {url.drivername} is not supported; {EXPECTED}")
    url = url.set(drivername=DRIVERS[url.drivername])
    if not url.database or (url.drivername == SQLITE and url.database == ":memory:"):
        missing = "a file" if url.drivername == SQLITE else "a database"
        raise SettingsError(f"history_url names no {missing.removeprefix('a ')}: {EXPECTED}")
    return url


def sqlite_file(url: URL) -> Path:
    """Make the folder of the SQLite file if it is missing, and return the file. Raises SettingsError."""
    file = Path(str(url.database))
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise refused(file.parent, error) from None
    return file
