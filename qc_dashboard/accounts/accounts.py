"""Sign in and out: the passwords, sessions, limits and the audit together."""

from dataclasses import dataclass, replace

from sqlalchemy import select, update

from qc_dashboard.accounts.attempts import Attempt, AttemptLimits, Wait, begin_attempt, forgive
from qc_dashboard.accounts.audit import Audit, AuditEntry
from qc_dashboard.accounts.identity import Identity, Proof
from qc_dashboard.accounts.names import name_key
from qc_dashboard.accounts.passwords import Passwords
from qc_dashboard.accounts.sessions import SessionLimits, Sessions
from qc_dashboard.accounts.tables import users
from qc_dashboard.accounts.times import now_us
from qc_dashboard.accounts.users import COLUMNS, User, Users, user_of
from qc_dashboard.database.database import Database
from qc_worker.ports.clock import Clock

SIGN_IN, SIGN_OUT = "sign in", "sign out"
SUCCESS, REFUSED = 200, 403


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A new session."""

    token: str
    identity: Identity


@dataclass(frozen=True, slots=True)
class WrongPassword:
    """The name or the password is wrong; nobody is told which."""


class Accounts:
    """Users, sessions and audit of one database; threads may share it."""

    def __init__(
        self,
        database: Database,
        *,
        clock: Clock,
        passwords: Passwords | None = None,
        session_limits: SessionLimits | None = None,
        attempt_limits: AttemptLimits | None = None,
    ) -> None:
        self._database = database
        self._clock = clock
        self._passwords = passwords or Passwords()
        self._attempt_limits = attempt_limits or AttemptLimits()
        self.audit = Audit(database, clock=clock)
        self.users = Users(database, clock=clock, passwords=self._passwords, audit=self.audit)
        self.sessions = Sessions(database, clock=clock, limits=session_limits or SessionLimits())

    def sign_in(
        self, name: str, password: str, *, address: str, instead_of: str | None = None
    ) -> SignedIn | WrongPassword | Wait:
        """Check the password and start a session, instead of the one that the browser has."""
        with self._database.writing() as connection:
            at_us = now_us(self._clock)
            attempt = begin_attempt(connection, name, address, limits=self._attempt_limits, at_us=at_us)
        if isinstance(attempt, Wait):
            return attempt
        with self._database.reading() as connection:
            known = select(*COLUMNS, users.c.password_hash).where(users.c.name_key == name_key(name))
            row = connection.execute(known).one_or_none()
        fits = self._passwords.fits(password, None if row is None else row.password_hash)
        if row is None:
            return WrongPassword()
        user = user_of(row[: len(COLUMNS)])
        entry = AuditEntry(Identity(user.name, user.role, Proof.SESSION), address, SIGN_IN, user.name)
        if not fits:
            self._refuse(entry)
            return WrongPassword()
        newer = self._passwords.hashed(password) if self._passwords.is_outdated(row.password_hash) else None
        return self._start(user, attempt, entry, hashes=(row.password_hash, newer), instead_of=instead_of)

    def sign_out(self, token: str, *, address: str) -> None:
        """End the session; nothing happens if it has ended already."""
        identity = self.sessions.identity(token)
        if identity is None:
            return
        with self._database.writing() as connection:
            self.sessions.end(connection, token)
            entry = AuditEntry(identity, address, SIGN_OUT, identity.name)
            self.audit.record(connection, entry, status=SUCCESS)

    def _start(
        self,
        user: User,
        attempt: Attempt,
        entry: AuditEntry,
        *,
        hashes: tuple[str, str | None],
        instead_of: str | None,
    ) -> SignedIn | WrongPassword:
        checked, newer = hashes
        with self._database.writing() as connection:
            now = {"signed_in_us": now_us(self._clock), "password_hash": newer or checked}
            # The password may have been changed, or the user removed, while the old one was being checked.
            same = (users.c.user_id == user.user_id) & (users.c.password_hash == checked)
            if connection.execute(update(users).where(same).values(now)).rowcount == 0:
                return WrongPassword()
            forgive(connection, attempt, name=user.name, address=entry.address)
            token = self.sessions.start(connection, user.user_id, instead_of=instead_of)
            self.audit.record(connection, entry, status=SUCCESS)
        return SignedIn(token, Identity(user.name, user.role, Proof.SESSION))

    def _refuse(self, entry: AuditEntry) -> None:
        """Record an attempt on a user that exists; other names are not recorded, they may be mistyped passwords."""
        with self._database.writing() as connection:
            self.audit.record(connection, replace(entry, identity=None), status=REFUSED)
