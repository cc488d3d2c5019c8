"""Keep the local users: add, remove, change and list them, each with its row in the audit."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, exists, insert, select, update
from sqlalchemy.exc import IntegrityError

from qc_dashboard.accounts.audit import Audit, AuditEntry
from qc_dashboard.accounts.names import name_key, user_name
from qc_dashboard.accounts.passwords import Passwords, check_new_password
from qc_dashboard.accounts.roles import Role
from qc_dashboard.accounts.tables import sessions, users
from qc_dashboard.accounts.times import now_us
from qc_dashboard.database.database import Database
from qc_worker.domain.errors import SettingsError
from qc_worker.ports.clock import Clock

DONE = 200
"""Status of a command's row in the audit."""


@dataclass(frozen=True, slots=True)
class User:
    """A user, without the password's hash."""

    user_id: int
    name: str
    role: Role
    created_us: int
    signed_in_us: int | None


COLUMNS = (users.c.user_id, users.c.name, users.c.role, users.c.created_us, users.c.signed_in_us)


class Users:
    """The table of users; threads may share it. Methods raise SettingsError if a user exists already, or does not."""

    def __init__(self, database: Database, *, clock: Clock, passwords: Passwords, audit: Audit) -> None:
        self._database = database
        self._clock = clock
        self._passwords = passwords
        self._audit = audit

    def any(self) -> bool:
        """Return True if there is at least one."""
        with self._database.reading() as connection:
            return bool(connection.execute(select(exists(select(users.c.user_id)))).scalar_one())

    def all(self) -> list[User]:
        """List them by name."""
        with self._database.reading() as connection:
            rows = connection.execute(select(*COLUMNS).order_by(users.c.name_key)).all()
        return [user_of(row) for row in rows]

    def find(self, name: str) -> User | None:
        """Find the user of that name."""
        with self._database.reading() as connection:
            row = connection.execute(select(*COLUMNS).where(users.c.name_key == name_key(name))).one_or_none()
        return row and user_of(row)

    def add(self, name: str, password: str, role: Role, *, by: AuditEntry) -> str:
        """Add a user; return the name in its normal form."""
        name = user_name(name)
        check_new_password(password, name=name)
        row = {
            "name": name,
            "name_key": name_key(name),
            "role": role.value,
            "password_hash": self._passwords.hashed(password),
            "created_us": now_us(self._clock),
        }
        try:
            with self._database.writing() as connection:
                connection.execute(insert(users), row)
                self._audit.record(connection, by, status=DONE)
        except IntegrityError:
            raise SettingsError(f"user {name} exists already") from None
        return name

    def remove(self, name: str, *, by: AuditEntry) -> None:
        """Remove a user; their sessions end at once."""
        with self._database.writing() as connection:
            self._touch(connection, name, delete(users).where(self._is(name)))
            self._audit.record(connection, by, status=DONE)

    def set_password(self, name: str, password: str, *, by: AuditEntry) -> None:
        """Set a password; sessions of the user end, so that whoever knew the old one is out."""
        check_new_password(password, name=name)
        new = self._passwords.hashed(password)
        with self._database.writing() as connection:
            self._touch(connection, name, update(users).where(self._is(name)).values(password_hash=new))
            own = select(users.c.user_id).where(self._is(name)).scalar_subquery()
            connection.execute(delete(sessions).where(sessions.c.user_id == own))
            self._audit.record(connection, by, status=DONE)

    def set_role(self, name: str, role: Role, *, by: AuditEntry) -> None:
        """Set a role; it holds from the next request."""
        with self._database.writing() as connection:
            self._touch(connection, name, update(users).where(self._is(name)).values(role=role.value))
            self._audit.record(connection, by, status=DONE)

    @staticmethod
    def _is(name: str) -> ColumnElement[bool]:
        return users.c.name_key == name_key(name)

    @staticmethod
    def _touch(connection: Connection, name: str, statement: Any) -> None:
        if connection.execute(statement).rowcount == 0:
            raise SettingsError(f"no user {name}: `qc-dashboard users list` shows all")


def user_of(row: Any) -> User:
    """Make a user of the row of `COLUMNS`."""
    user_id, name, role, created_us, signed_in_us = row
    return User(user_id, name, Role(role), created_us, signed_in_us)
