"""Hold what one client has not been sent yet: one sum, however slow the client is, so no count is lost."""

import asyncio
from collections.abc import Mapping
from threading import Lock

from qc_dashboard.api.live.news import News, added
from qc_worker.domain.frame import Partition


class Subscription:
    """What came in since the client was sent something. Made in the client's event loop, filled by another thread."""

    def __init__(self, places: Mapping[Partition, int] | None) -> None:
        self.places = places
        """Places from which it counts; None as long as the feed itself has not begun."""
        self.woken = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._lock = Lock()
        self._waiting: News | None = None
        self._restarted = False

    def add(self, news: News) -> None:
        """Add what came in; called by the feed's thread."""
        with self._lock:
            self._waiting = news if self._waiting is None else added(self._waiting, news)
        self._wake()

    def begin(self, places: Mapping[Partition, int]) -> None:
        """Set the places from which it counts."""
        with self._lock:
            self.places = dict(places)
        self._wake()

    def restart(self) -> None:
        """Note that the topic begins again, so that what the client knows is void."""
        with self._lock:
            self._waiting, self._restarted = None, True
        self._wake()

    def take(self) -> News | None:
        """Return what has not been sent; None if nothing came in."""
        with self._lock:
            self.woken.clear()
            waiting, self._waiting = self._waiting, None
            return waiting

    def is_void(self) -> bool:
        """Return True once the topic has begun again."""
        with self._lock:
            return self._restarted

    def _wake(self) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.woken.set)
