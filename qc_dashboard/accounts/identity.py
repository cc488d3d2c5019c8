"""Name who acts, and how they proved it."""

from dataclasses import dataclass
from enum import StrEnum

from qc_dashboard.accounts.roles import Role


class Proof(StrEnum):
    """Reason why the server believes in a name."""

    SESSION = "session"
    """They signed in with a password."""
    PROXY = "proxy"
    """A trusted reverse proxy named them."""
    LOOPBACK = "loopback"
    """There are no users yet, and the request came from this machine."""
    COMMAND_LINE = "command line"
    """They can run `qc-dashboard` on the database."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A person with a role."""

    name: str
    role: Role
    proof: Proof

    def may(self, least: Role) -> bool:
        """Return True if they have that role or a greater one."""
        return self.role.includes(least)
