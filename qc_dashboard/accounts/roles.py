"""Order the roles: each one may do what the one before it may do, and more."""

from enum import StrEnum


class Role(StrEnum):
    """Role of a user, from the least to the most."""

    VIEWER = "viewer"
    """Looks at everything, changes nothing."""
    OPERATOR = "operator"
    """Judges frames as well."""
    ENGINEER = "engineer"
    """Promotes models and rolls back as well."""

    def includes(self, other: "Role") -> bool:
        """Return True if this role may do whatever the other one may do."""
        order = list(Role)
        return order.index(self) >= order.index(other)
