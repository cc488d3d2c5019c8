"""Progress of a long reading, shown by whoever asked for it."""

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from qc_worker.domain.frame import Record


class Progress(Protocol):
    """Shows how far a long reading is."""

    def reading(self, records: Iterable[Record], title: str, *, total: int) -> Iterable[Record]:
        """Pass `records` on, about `total` of them, while showing how many have come."""
        ...

    def waiting(self, reason: str) -> AbstractContextManager[None]:
        """Show the reason while the block runs."""
        ...


class NoProgress:
    """Shows nothing."""

    def reading(self, records: Iterable[Record], title: str, *, total: int) -> Iterable[Record]:  # noqa: ARG002
        return records

    def waiting(self, reason: str) -> AbstractContextManager[None]:  # noqa: ARG002
        return nullcontext()


NO_PROGRESS = NoProgress()
