"""Make a text once for all clients that are sent the same."""

from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class SameText(Generic[T]):
    """Remembers the last content and its text; used by one event loop."""

    def __init__(self, make: Callable[[T], str]) -> None:
        self._make = make
        self._last: tuple[T, str] | None = None

    def of(self, content: T) -> str:
        """Return the content's text; clients that keep pace ask with the very same content, one after the other."""
        if self._last is None or self._last[0] is not content:
            self._last = content, self._make(content)
        return self._last[1]
