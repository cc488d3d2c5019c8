"""Model folders, and which of them is live."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from qc_worker.domain.release import Release


class ReleaseLog(Protocol):
    """The compacted topic `models`: the newest release of every line."""

    refused: int
    """Records left out so far because they could not be read."""

    def announce(self, release: Release) -> None:
        """Append and wait for the acknowledgement. Raises TransportError."""
        ...

    def read_all(self) -> dict[str, Release]:
        """Return the newest release of each line now, by line. Unreadable ones are logged and left out."""
        ...

    def poll(self, *, timeout_s: float) -> Sequence[Release]:
        """Return the releases since the last `read_all` or `poll`, oldest first."""
        ...

    def close(self) -> None:
        """Disconnect."""
        ...


class ModelStore(Protocol):
    """Model folders (`head.safetensors` + `card.json`) by line and version.

    A card with `head_of` shares the head of that version of its line, and lies in the store alone.
    """

    def lines(self) -> list[str]:
        """List the lines that have at least one version."""
        ...

    def versions(self, line: str) -> list[str]:
        """List the complete versions of a line, oldest first."""
        ...

    def add(self, folder: Path, *, line: str, version: str) -> None:
        """Copy a model folder in; it appears whole or not at all. Raises ModelError."""
        ...

    def fetch(self, line: str, version: str, *, into: Path) -> Path:
        """Copy a version to the local folder `into/<line>/<version>` and return that. Raises ModelError.

        A shared head is copied there as well: from a version below `into` that has it, else from the store.
        """
        ...

    def card(self, line: str, version: str) -> bytes:
        """Return the bytes of a version's card.json. Raises ModelError."""
        ...

    def releases(self, line: str) -> list[Release]:
        """List every release of the line, oldest first; the last one is live."""
        ...

    def record_release(self, release: Release) -> None:
        """Append to the line's release history. Raises ModelError."""
        ...
