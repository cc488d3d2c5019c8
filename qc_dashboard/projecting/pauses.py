"""Pauses between attempts: short at first, doubled after each failure, up to a limit."""

from threading import Event

SHORTEST_S = 0.5
LONGEST_S = 15.0


class Pauses:
    """The pauses of one outage; a success ends it."""

    def __init__(self, stop: Event, *, shortest_s: float = SHORTEST_S, longest_s: float = LONGEST_S) -> None:
        self._stop = stop
        self._shortest_s = shortest_s
        self._longest_s = longest_s
        self._next_s = shortest_s

    def wait(self) -> None:
        """Wait before the next attempt, or until the stop event is set."""
        self._stop.wait(self._next_s)
        self._next_s = min(2 * self._next_s, self._longest_s)

    def end(self) -> None:
        """Forget the failures: an attempt has succeeded."""
        self._next_s = self._shortest_s
