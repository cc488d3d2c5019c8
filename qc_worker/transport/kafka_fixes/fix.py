"""One fix: what is wrong in kafka-python, which of its names is replaced, and by what."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

NOT_REPORTED = "not reported"


@dataclass(frozen=True, slots=True)
class Fix:
    """Replace one name of kafka-python, in this process only."""

    defect: str
    """The defect in one line, as a user would report it."""
    target: str
    """Dotted name of the class, function or method that is replaced."""
    upstream: str
    """Address of kafka-python's own issue, or NOT_REPORTED."""
    install: Callable[[Any], Any]
    """Gets the original and returns what `register` puts in its place."""
    relies_on: tuple[str, ...] = ()
    """Further dotted names without which the replacement would have no effect."""
