"""Keep sessions: a random token in the browser, its digest in the database, an end in any case."""

import hashlib
import secrets
from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select, update

from qc_dashboard.accounts.identity import Identity, Proof
from qc_dashboard.accounts.roles import Role
from qc_dashboard.accounts.tables import sessions, users
from qc_dashboard.accounts.times import SECOND_US, now_us
from qc_dashboard.database.database import Database
from qc_worker.ports.clock import Clock

TOKEN_BYTES = 32
SEEN_EVERY_US = 60 * SECOND_US
"""A session that is used is written at most so often."""


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """Seconds after which a session ends: unused, and in any case."""

    idle_s: int = 12 * 3600
    total_s: int = 7 * 24 * 3600


class Sessions:
    """The table of sessions; threads may share it."""

    def __init__(self, database: Database, *, clock: Clock, limits: SessionLimits) -> None:
        self._database = database
        self._clock = clock
        self.limits = limits

    def start(self, connection: Connection, user_id: int, *, instead_of: str | None) -> str:
        """Start a session in an open transaction; return its new token. The one that the browser had ends."""
        at_us = now_us(self._clock)
        token = secrets.token_urlsafe(TOKEN_BYTES)
        self._forget_expired(connection, at_us)
        if instead_of:
            connection.execute(delete(sessions).where(sessions.c.token_sha256 == token_sha256(instead_of)))
        row = {"token_sha256": token_sha256(token), "user_id": user_id, "created_us": at_us, "seen_us": at_us}
        connection.execute(insert(sessions), row)
        return token

    def identity(self, token: str) -> Identity | None:
        """Return who has that session; None if it has ended. The user's role is the one of now."""
        at_us = now_us(self._clock)
        digest = token_sha256(token)
        columns = (users.c.name, users.c.role, sessions.c.created_us, sessions.c.seen_us)
        found = select(*columns).join_from(sessions, users).where(sessions.c.token_sha256 == digest)
        with self._database.reading() as connection:
            row = connection.execute(found).one_or_none()
        if row is None or not self._lives(row.created_us, row.seen_us, at_us):
            return None
        if at_us - row.seen_us > SEEN_EVERY_US:
            with self._database.writing() as connection:
                seen = update(sessions).where(sessions.c.token_sha256 == digest).values(seen_us=at_us)
                connection.execute(seen)
        return Identity(row.name, Role(row.role), Proof.SESSION)

    def end(self, connection: Connection, token: str) -> None:
        """End a session in an open transaction."""
        connection.execute(delete(sessions).where(sessions.c.token_sha256 == token_sha256(token)))

    def _lives(self, created_us: int, seen_us: int, at_us: int) -> bool:
        idle, total = self.limits.idle_s * SECOND_US, self.limits.total_s * SECOND_US
        return at_us - seen_us < idle and at_us - created_us < total

    def _forget_expired(self, connection: Connection, at_us: int) -> None:
        idle, total = self.limits.idle_s * SECOND_US, self.limits.total_s * SECOND_US
        ended = (sessions.c.seen_us <= at_us - idle) | (sessions.c.created_us <= at_us - total)
        connection.execute(delete(sessions).where(ended))


def token_sha256(token: str) -> str:
    """Return the digest under which a token is stored."""
    return hashlib.sha256(token.encode(errors="surrogatepass")).hexdigest()
