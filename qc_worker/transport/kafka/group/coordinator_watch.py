"""Notices that the group's coordinator is away, of which kafka-python's polls tell nothing but that no record came."""

from collections.abc import Callable
from time import monotonic

from qc_worker.domain.errors import TransportError


class CoordinatorWatch:
    """Call `look` once per poll; short disconnections between polls are ignored."""

    def __init__(self, *, patience_s: float, clock: Callable[[], float] = monotonic) -> None:
        self._patience_s = patience_s
        self._clock = clock
        self._away_since: float | None = None

    def look(self, *, is_there: bool) -> None:
        """Raise TransportError if the coordinator has been away for longer than `patience_s`."""
        if is_there:
            self._away_since = None
            return
        now = self._clock()
        self._away_since = now if self._away_since is None else self._away_since
        if now - self._away_since > self._patience_s:
            raise TransportError(f"no connection to the group's coordinator for {now - self._away_since:.0f} s")
