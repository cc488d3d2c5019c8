"""Keep the history up to date: one thread for each of `results`, `models`, `feedback` and `samples`."""

from collections.abc import Sequence
from threading import Event, Thread

from qc_dashboard.history.writing import HistoryWriter
from qc_dashboard.projecting.arrivals import Arrivals
from qc_dashboard.projecting.follower import Follower, Outage, Source
from qc_worker.ports.clock import Clock
from qc_worker.ports.feeds import PublishedCollected, PublishedFeedback, PublishedRelease
from qc_worker.ports.results import PublishedInspection

STOP_TIMEOUT_S = 8.0


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
        followers = {
            "results": self._results.run,
            "models": self._models.run,
            "feedback": self._feedback.run,
            "samples": self._samples.run,
        }
        self._threads = [Thread(target=run, name=f"history-{name}", daemon=True) for name, run in followers.items()]

    @property
    def inspections(self) -> Arrivals:
        """Counts the inspections stored by this process; a live stream waits for it."""
        return self._results.arrivals

    def outages(self) -> Sequence[Outage]:
        """Return what cannot be followed at the moment, and since when."""
        found = (follower.outage for follower in (self._results, self._models, self._feedback, self._samples))
        return [outage for outage in found if outage is not None]

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Stop after the batch in hand; a thread that hangs is left behind, which loses nothing."""
        self._stop.set()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(STOP_TIMEOUT_S)
