"""Transactions and migrations, the same on SQLite and PostgreSQL."""

from collections.abc import Iterator
from importlib import import_module
from pkgutil import walk_packages
from threading import Thread

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

import qc_dashboard
from qc_dashboard.database.database import Database, open_database
from qc_dashboard.database.metadata import metadata
from qc_worker.domain.errors import SettingsError


@pytest.fixture
def numbers(database: Database) -> Iterator[Database]:
    with database.writing() as connection:
        connection.execute(text("CREATE TABLE numbers (number INTEGER)"))
    yield database
    with database.writing() as connection:
        connection.execute(text("DROP TABLE numbers"))


def count(database: Database) -> int:
    with database.reading() as connection:
        return int(connection.execute(text("SELECT count(*) FROM numbers")).scalar_one())


def test_migrations_make_the_tables_that_the_code_declares(database: Database) -> None:
    for module in walk_packages(qc_dashboard.__path__, "qc_dashboard."):
        if module.name.endswith(".tables"):
            import_module(module.name)
    with database.writing() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": False})
        assert compare_metadata(context, metadata) == []


def test_migrating_again_changes_nothing(database: Database, database_url: str) -> None:
    database.migrate()
    again = open_database(database_url)
    again.migrate()
    again.close()


def test_two_processes_that_start_at_once_migrate_one_after_the_other(database_url: str) -> None:
    both = [open_database(database_url) for _ in range(2)]
    failed: list[Exception] = []

    def migrate(database: Database) -> None:
        try:
            database.migrate()
        except Exception as error:  # noqa: BLE001  (the test tells which)
            failed.append(error)

    threads = [Thread(target=migrate, args=(database,)) for database in both]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for database in both:
        database.close()
    assert failed == []


def test_database_of_a_newer_version_is_refused(database: Database) -> None:
    with database.writing() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(SettingsError, match="newer qc-dashboard"):
        database.migrate()


def test_transaction_is_undone_after_an_error(numbers: Database) -> None:
    def fail() -> None:
        with numbers.writing() as connection:
            connection.execute(text("INSERT INTO numbers VALUES (1)"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert count(numbers) == 0


def test_reader_keeps_its_snapshot_while_another_writes(numbers: Database) -> None:
    with numbers.reading() as reader:
        before = reader.execute(text("SELECT count(*) FROM numbers")).scalar_one()
        with numbers.writing() as writer:
            writer.execute(text("INSERT INTO numbers VALUES (1)"))
        assert reader.execute(text("SELECT count(*) FROM numbers")).scalar_one() == before
    assert count(numbers) == 1


def test_writers_of_many_threads_take_turns(numbers: Database) -> None:
    def increment() -> None:
        for _ in range(20):
            with numbers.writing() as connection:
                connection.execute(text("INSERT INTO numbers VALUES (1)"))

    threads = [Thread(target=increment) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert count(numbers) == 160


def test_errors_of_statements_stay_what_they_are(database: Database) -> None:
    with pytest.raises(DBAPIError), database.writing() as connection:
        connection.execute(text("SELECT * FROM nowhere"))
