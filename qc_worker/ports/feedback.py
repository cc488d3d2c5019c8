"""Operators' verdicts: sent by dashboards, gathered by the trainer, which says what it made of them."""

from collections.abc import Sequence
from typing import Protocol

from qc_worker.domain.collected import Collected
from qc_worker.domain.feedback import Feedback


class FeedbackOutbox(Protocol):
    """Sends operators' verdicts to `feedback`."""

    def send(self, feedback: Feedback) -> None:
        """Send and wait for the acknowledgement. Raises TransportError."""
        ...

    def close(self) -> None:
        """Flush and disconnect."""
        ...


class CollectedOutbox(Protocol):
    """Sends to `samples` what became of verdicts."""

    def send(self, collected: Sequence[Collected]) -> None:
        """Send all and wait for the acknowledgements. Raises TransportError."""
        ...

    def close(self) -> None:
        """Flush and disconnect."""
        ...


class FeedbackSource(Protocol):
    """Operators' verdicts from `feedback`, remembered by consumer group."""

    def poll(self, *, timeout_s: float) -> Sequence[Feedback]:
        """Wait up to `timeout_s` and return the next feedback, if any; unreadable ones are logged and left out."""
        ...

    def commit(self) -> None:
        """Commit everything polled so far; call when it has been stored."""
        ...

    def close(self) -> None:
        """Disconnect."""
        ...
