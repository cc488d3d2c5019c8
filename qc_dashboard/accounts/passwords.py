"""Hash passwords with argon2id, at most a few at once: each hash takes memory on purpose."""

from threading import BoundedSemaphore

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from qc_worker.domain.errors import SettingsError

MIN_PASSWORD_LENGTH = 10
MAX_PASSWORD_LENGTH = 1024
MAX_AT_ONCE = 2
"""Hashes computed at once; with argon2-cffi's parameters (RFC 9106, low memory) they take 64 MiB each."""


class Passwords:
    """Hashes and checks passwords; threads may share it."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()
        self._turns = BoundedSemaphore(MAX_AT_ONCE)
        self._nobodys = self.hashed("a user that does not exist")

    def hashed(self, password: str) -> str:
        """Hash a password with a new salt."""
        with self._turns:
            return self._hasher.hash(password.encode(errors="surrogatepass"))

    def fits(self, password: str, known_hash: str | None) -> bool:
        """Compare a password with a hash; without one it takes as long and is False."""
        if len(password) > MAX_PASSWORD_LENGTH:
            return False
        try:
            with self._turns:
                fits = self._hasher.verify(known_hash or self._nobodys, password.encode(errors="surrogatepass"))
        except (VerificationError, InvalidHashError):
            return False
        return fits and known_hash is not None

    def is_outdated(self, known_hash: str) -> bool:
        """Return True if the hash was made with other parameters than today's."""
        return self._hasher.check_needs_rehash(known_hash)


def check_new_password(password: str, *, name: str) -> None:
    """Check a password that is about to be set. Raises SettingsError."""
    if len(password) < MIN_PASSWORD_LENGTH:
        raise SettingsError(f"the password is too short: use at least {MIN_PASSWORD_LENGTH} characters")
    if len(password) > MAX_PASSWORD_LENGTH:
        raise SettingsError(f"the password is too long: use at most {MAX_PASSWORD_LENGTH} characters")
    if password.casefold() == name.casefold():
        raise SettingsError("the password is the user's name: choose another one")
