"""Keep the history up to date: one thread for each of `results`, `models`, `feedback` and `samples`."""

from collections.abc import Sequence
from threading import Event, Thread
from time import monotonic
from typing import Any

from qc_dashboard.history.writing import HistoryWriter
from qc_dashboard.projecting.arrivals import Arrivals
from qc_dashboard.projecting.ending import end
from qc_dashboard.projecting.follower import Follower, Outage, Source
from qc_worker.ports.clock import Clock
from qc_worker.ports.feeds import PublishedCollected, PublishedFeedback, PublishedRelease
from qc_worker.ports.results import PublishedInspection

STOP_TIMEOUT_S = 2.0
"""Time for the batches in hand; with the server's own time for requests less than its `LATEST_EXIT_S`."""


class Projection:
    """The followers of all four topics, and their threads."""

    def __init__(
        self,
        writer: HistoryWriter,
        *,
        results: Source[PublishedInspection],
        models: Source[PublishedRelease],
        feedback: Source[PublishedFeedback],
        samples: Source[PublishedCollected],
        clock: Clock,
    ) -> None:
        self._stop = Event()
        self._results = Follower(results, writer, stop=self._stop, clock=clock)
        self._models = Follower(models, writer, stop=self._stop, clock=clock)
        self._feedback = Follower(feedback, writer, stop=self._stop, clock=clock)
        self._samples = Follower(samples, writer, stop=self._stop, clock=clock)
        self._followers: list[Follower[Any]] = [self._results, self._models, self._feedback, self._samples]
        self._threads = [
            Thread(target=follower.run, name=f"history-{name}", daemon=True)
            for name, follower in zip(("results", "models", "feedback", "samples"), self._followers, strict=True)
        ]

    @property
    def inspections(self) -> Arrivals:
        """Counts the inspections stored by this process; a live stream waits for it."""
        return self._results.arrivals

    def outages(self) -> Sequence[Outage]:
        """Return what cannot be followed at the moment, and since when."""
        found = (follower.outage for follower in self._followers)
        return [outage for outage in found if outage is not None]

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Stop after the batch in hand; a thread that hangs in the database is left behind, which loses nothing."""
        self._stop.set()
        deadline_s = monotonic() + STOP_TIMEOUT_S
        for thread, follower in zip(self._threads, self._followers, strict=True):
            end(thread, follower.interrupt, until_s=deadline_s)
