"""Bound the attempts to sign in, per name and per address, in the database: every process on it counts together."""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, delete, func, insert, select, text

from qc_dashboard.accounts.names import name_sha256
from qc_dashboard.accounts.tables import sign_in_attempts as table
from qc_dashboard.accounts.times import SECOND_US


@dataclass(frozen=True, slots=True)
class AttemptLimits:
    """How many attempts may fail within a window; those that succeed do not count."""

    per_name: int = 10
    per_address: int = 30
    window_s: int = 900


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt that may be made; it counts as failed until it is forgiven."""

    number: int


@dataclass(frozen=True, slots=True)
class Wait:
    """No attempt may be made for so long."""

    seconds: int


def begin_attempt(
    connection: Connection, name: str, address: str, *, limits: AttemptLimits, at_us: int
) -> Attempt | Wait:
    """Count an attempt before the password is checked, so that many at once cannot exceed the limit."""
    if connection.dialect.name == "postgresql":  # SQLite has one writer at a time anyway
        connection.execute(text(f"LOCK TABLE {table.name} IN SHARE ROW EXCLUSIVE MODE"))
    since_us = at_us - limits.window_s * SECOND_US
    connection.execute(delete(table).where(table.c.at_us <= since_us))
    digest = name_sha256(name)
    bounds = ((table.c.name_sha256 == digest, limits.per_name), (table.c.address == address, limits.per_address))
    waits = [_wait_us(connection, condition, most, since_us) for condition, most in bounds]
    if longest := max(waits):
        return Wait(-(-longest // SECOND_US))
    row = {"at_us": at_us, "name_sha256": digest, "address": address}
    return Attempt(connection.execute(insert(table).returning(table.c.attempt_id), row).scalar_one())


def forgive(connection: Connection, attempt: Attempt, *, name: str, address: str) -> None:
    """Forget the attempt, and earlier ones of that name from that address: the right password came."""
    same = (table.c.name_sha256 == name_sha256(name)) & (table.c.address == address)
    connection.execute(delete(table).where((table.c.attempt_id == attempt.number) | same))


def _wait_us(connection: Connection, condition: ColumnElement[bool], most: int, since_us: int) -> int:
    """Return the time until fewer than `most` lie in the window; 0 if that is so now."""
    count, oldest_us = connection.execute(select(func.count(), func.min(table.c.at_us)).where(condition)).one()
    return 0 if count < most else int(oldest_us) - since_us
