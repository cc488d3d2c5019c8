"""What a reader of `results` sees, and when: by its own arrival, so that transactions left open are felt as well."""

from collections import defaultdict
from itertools import pairwise
from threading import Condition, Event, Thread
from time import monotonic

from qc_worker.domain.errors import TransportError
from qc_worker.domain.inspection import Inspection
from qc_worker.transport.kafka.connecting.access import KafkaAccess
from qc_worker.transport.kafka.inspection_feed import KafkaInspectionFeed

POLL_S = 0.2


class Verdicts:
    """Reads committed records in a thread of its own, all the time."""

    def __init__(self, access: KafkaAccess, *, topic: str) -> None:
        self._reader = KafkaInspectionFeed(access, topic=topic)
        self._seen: list[Inspection] = []
        self._came_at: defaultdict[int, list[float]] = defaultdict(list)
        self._came = Condition()
        self._stopping = Event()
        self._thread = Thread(target=self._run, name="verdicts", daemon=True)

    def __len__(self) -> int:
        return len(self._seen)

    def start(self) -> None:
        self._reader.start()
        self._thread.start()

    def close(self) -> None:
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join(30)
        self._reader.close()

    def wait(self, timeout_s: float) -> None:
        """Wait for the next to come."""
        with self._came:
            self._came.wait(timeout_s)

    def so_far(self, *, since: int = 0) -> list[Inspection]:
        """All, or those after the first `since`."""
        with self._came:
            return self._seen[since:]

    def longest_silence_s(self, began_s: float) -> float:
        """The longest that a reader saw no verdict of some partition of `images`, from `began_s` to its last one."""
        with self._came:
            moments = [[began_s, *came_at] for came_at in self._came_at.values()]
        return max((later - earlier for came_at in moments for earlier, later in pairwise(came_at)), default=0.0)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                came = self._reader.poll(timeout_s=POLL_S)
            except TransportError:
                continue  # brokers are broken here; what it meant for readers is in the arrivals
            with self._came:
                for published in came:
                    self._seen.append(published.inspection)
                    self._came_at[published.inspection.source.partition].append(monotonic())
                self._came.notify_all()
