"""Check users' names. Any script and punctuation is allowed: pages escape them."""

import hashlib
import unicodedata

from qc_worker.domain.errors import SettingsError

MAX_USER_NAME_LENGTH = 64
FORBIDDEN_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Controls, changes of direction, lone surrogates, unassigned: they are invisible, or one name looks like another."""


def user_name(text: str) -> str:
    """Return the name in its normal form. Raises SettingsError if it is empty, too long or has invisible characters."""
    name = unicodedata.normalize("NFC", text).strip()
    if not name:
        raise SettingsError("the user's name is empty")
    if len(name) > MAX_USER_NAME_LENGTH:
        raise SettingsError(f"the user's name has {len(name)} characters; at most {MAX_USER_NAME_LENGTH} are allowed")
    if any(unicodedata.category(character) in FORBIDDEN_CATEGORIES for character in name):
        raise SettingsError("the user's name has control or invisible characters")
    return name


def name_key(name: str) -> str:
    """Return the form in which names are compared: `Anna` and `anna` are one user.

    Every text has one that a database can store, as it comes from anybody who types into the page.
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold()).strip()
    return folded.replace("\0", "\\0").encode(errors="backslashreplace").decode()


def name_sha256(name: str) -> str:
    """Return the digest of a name as somebody typed it; a password in the wrong field is then stored nowhere."""
    return hashlib.sha256(name_key(name).encode()).hexdigest()
