"""Record who wrote what, when, from which address, and how it ended. Rows are never changed but for their end."""

from dataclasses import dataclass

from sqlalchemy import Connection, insert, select, update

from qc_dashboard.accounts.identity import Identity
from qc_dashboard.accounts.tables import audit
from qc_dashboard.accounts.times import now_us
from qc_dashboard.database.database import Database
from qc_worker.ports.clock import Clock

MAX_TEXT_LENGTH = 2000
THIS_MACHINE = "command line"
"""Address of what was done by `qc-dashboard users`."""


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """What somebody does."""

    identity: Identity | None
    address: str
    action: str
    """Short name such as `promote model`."""
    subject: str = ""
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class AuditRow:
    """An entry as it was recorded."""

    at_us: int
    name: str | None
    role: str | None
    proof: str | None
    address: str
    action: str
    subject: str
    status: int | None
    """HTTP status of the answer; None if the process died before it."""
    detail: str | None


class Audit:
    """The audit table; threads may share it."""

    def __init__(self, database: Database, *, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def record(self, connection: Connection, entry: AuditEntry, *, status: int | None) -> int:
        """Add a row in the transaction that writes what it is about; return its number."""
        who = entry.identity
        row = {
            "at_us": now_us(self._clock),
            "name": who and who.name,
            "role": who and who.role.value,
            "proof": who and who.proof.value,
            "address": entry.address,
            "action": entry.action,
            "subject": _storable(entry.subject),
            "status": status,
            "detail": None if entry.detail is None else _storable(entry.detail),
        }
        return int(connection.execute(insert(audit).returning(audit.c.audit_id), row).scalar_one())

    def begin(self, entry: AuditEntry) -> int:
        """Record a write that is about to happen; return the number to end it with."""
        with self._database.writing() as connection:
            return self.record(connection, entry, status=None)

    def end(self, number: int, *, status: int, detail: str | None = None) -> None:
        """Record how it ended."""
        values = {"status": status} if detail is None else {"status": status, "detail": _storable(detail)}
        with self._database.writing() as connection:
            connection.execute(update(audit).where(audit.c.audit_id == number).values(values))

    def newest(self, limit: int) -> list[AuditRow]:
        """Return the newest rows, newest first."""
        columns = [column for column in audit.c if column is not audit.c.audit_id]
        with self._database.reading() as connection:
            rows = connection.execute(select(*columns).order_by(audit.c.audit_id.desc()).limit(limit)).all()
        return [AuditRow(*row) for row in rows]


def _storable(text: str) -> str:
    """Bound the text and replace what PostgreSQL cannot store."""
    return text[:MAX_TEXT_LENGTH].replace("\0", "\\0").encode(errors="backslashreplace").decode()
