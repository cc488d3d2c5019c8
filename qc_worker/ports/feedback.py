"""Operators' verdicts: sent by dashboards, gathered by the trainer."""

from collections.abc import Sequence
from typing import Protocol

from qc_worker.domain.feedback import Feedback


class FeedbackOutbox(Protocol):
    """Sends operators' verdicts to `feedback`."""

    def send(self, feedback: Feedback) -> None:
        """Send and wait for the acknowledgement. Raises TransportError."""
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
