"""The query of routes that take no parameters."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class NoQuery:
    """No parameters."""
