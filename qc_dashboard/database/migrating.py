"""Run the migrations that lie in this package, whatever folder it is installed in."""

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection, text

from qc_worker.domain.errors import SettingsError

SCRIPTS = "qc_dashboard.database:migrations"
CONNECTION = "connection"
"""Attribute of the configuration that hands the open transaction to `migrations/env.py`."""
MIGRATION_LOCK = 0x71635F64
"""Key of PostgreSQL's advisory lock: two processes that start at once migrate one after the other."""


def migrate_to_newest(connection: Connection) -> None:
    """Run the missing migrations in the connection's transaction. Raises SettingsError for a newer database."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
    try:
        command.upgrade(migration_config(connection), "head")
    except CommandError as error:
        if "Can't locate revision" not in str(error):
            raise
        raise SettingsError("a newer qc-dashboard has changed the history database: install that version") from None


def migration_config(connection: Connection) -> Config:
    """Make Alembic's configuration for an open transaction."""
    config = Config()
    config.set_main_option("script_location", SCRIPTS)
    config.set_main_option("path_separator", "os")
    config.attributes[CONNECTION] = connection
    return config
