"""Follow the history as it grows, count for the live pages, and tell every open stream: one reader for all clients."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from threading import Event, Lock, Thread

import structlog

from qc_dashboard.api.live.newest import Newest
from qc_dashboard.api.live.news import News, news_of
from qc_dashboard.api.live.subscription import Subscription
from qc_dashboard.api.live.tallies import LineTally, Tallies
from qc_dashboard.history.history import History, advanced
from qc_dashboard.history.search import StoredInspection
from qc_dashboard.history.times import to_us
from qc_dashboard.projecting.arrivals import Arrivals
from qc_worker.domain.errors import TransportError
from qc_worker.domain.frame import Partition
from qc_worker.ports.clock import Clock

READ_AT_ONCE = 2_000
FILLED_AT_START = 50_000
"""Most inspections that are counted when the feed starts, of all partitions together."""
TICK_S = 0.25
"""Shortest time between two messages to a client."""
IDLE_S = 0.5
"""Longest time until it looks again by itself: another process may write the history."""
RETRY_S = 2.0
MAX_CLIENTS = 200

log = structlog.get_logger()


class LiveFeed:
    """Reads each new inspection once; `step` is what its thread repeats."""

    def __init__(self, history: History, *, topic: str, clock: Clock, arrivals: Arrivals) -> None:
        self._history = history
        self._topic = topic
        self._clock = clock
        self._arrivals = arrivals
        self._tallies = Tallies()
        self._newest = Newest(history)
        self._places: dict[Partition, int] | None = None
        self._open: set[Subscription] = set()
        self._lock = Lock()
        self._stop = Event()
        self._thread = Thread(target=self._run, name="live", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self) -> None:
        """Stop; a thread that hangs in the database is left behind, which loses nothing."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(IDLE_S * 4)

    @property
    def topic(self) -> str:
        """Topic of the inspections."""
        return self._topic

    @property
    def clients(self) -> int:
        """Number of open streams."""
        return len(self._open)

    @property
    def is_full(self) -> bool:
        """Return True if no further client may connect."""
        return self.clients >= MAX_CLIENTS

    @contextmanager
    def subscription(self) -> Iterator[Subscription]:
        """Have what comes in from now on collected for a client; call it in the client's event loop."""
        with self._lock:
            client = Subscription(None if self._places is None else dict(self._places))
            self._open.add(client)
        try:
            yield client
        finally:
            with self._lock:
                self._open.discard(client)

    def tallies(self) -> dict[str | None, LineTally]:
        """Return what was judged in the last minutes."""
        return self._tallies.by_line(now_us=self._now_us())

    def newest(self, line: str) -> StoredInspection | None:
        """Return the line's newest inspection by capture time. Raises DatabaseAway."""
        return self._newest.of(line)

    def places(self) -> dict[Partition, int] | None:
        """Return the next offsets behind all that is counted; None before the first step."""
        with self._lock:
            return None if self._places is None else dict(self._places)

    def step(self) -> bool:
        """Read what is new, and tell the clients; False if there was nothing. Raises TransportError."""
        stored = self._history.places(self._topic)
        places = self.places()
        if places is None or any(stored.get(partition, 0) < offset for partition, offset in places.items()):
            self._begin(stored)
            return False
        asked = {partition: places.get(partition, 0) for partition in stored}
        if asked == stored:
            return False
        found = self._history.published_after(asked, limit=READ_AT_ONCE)
        after = advanced(asked, found)
        if len(found) < READ_AT_ONCE:  # offsets without an inspection, such as markers of transactions, are passed too
            after = {partition: max(offset, stored[partition]) for partition, offset in after.items()}
        self._tallies.add(found, now_us=self._now_us())
        self._newest.add(found)
        self._tell(news_of(found, after))
        return len(found) == READ_AT_ONCE

    def _begin(self, stored: Mapping[Partition, int]) -> None:
        """Start from the stored places, with the counts of what came before; the topic may have been made again."""
        self._tallies.clear()
        self._newest.clear()
        share = FILLED_AT_START // max(1, len(stored))
        for partition, end in stored.items():
            self._fill(partition, max(0, end - share), end)
        with self._lock:
            void = self._places is not None
            self._places = dict(stored)
            for client in self._open:
                if void:
                    client.restart()
                else:
                    client.begin(stored)

    def _fill(self, partition: Partition, place: int, end: int) -> None:
        while place < end:
            found = self._history.published_after({partition: place}, limit=READ_AT_ONCE)
            self._tallies.add((one for one in found if one.results_offset < end), now_us=self._now_us())
            self._newest.add(found)
            place = found[-1].results_offset + 1 if len(found) == READ_AT_ONCE else end

    def _tell(self, news: News) -> None:
        with self._lock:
            self._places = {**(self._places or {}), **news.after}
            for client in self._open:
                client.add(news)

    def _run(self) -> None:
        while not self._stop.is_set():
            seen = self._arrivals.count
            try:
                if not self.step():
                    self._arrivals.wait(seen, timeout_s=IDLE_S)
                    self._stop.wait(TICK_S)
            except TransportError as error:
                log.warning("live counts wait", reason=str(error))
                self._stop.wait(RETRY_S)
            except Exception:
                # A defect must not end the thread unseen while pages are still served.
                log.exception("live counts failed")
                self._stop.wait(RETRY_S)

    def _now_us(self) -> int:
        return to_us(self._clock.now())
