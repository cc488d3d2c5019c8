"""Model folders, and which of them is live."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from qc_worker.domain.release import Release, Seen
from qc_worker.domain.version import VersionCard


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

    A card with `head_of` shares the head of that version of its line, and lies in the store alone. Every method raises
    ModelError, and StoreAway if the store cannot be reached.
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

    def read_card(self, line: str, version: str) -> bytes:
        """Return the bytes of the version's card; a file larger than any card is not read. Raises ModelError."""
        ...

    def releasing(self, line: str) -> AbstractContextManager[None]:
        """Hold the line's releases for one thread of one process. Raises ReleaseRefused if another one holds them."""
        ...

    def releases(self, line: str) -> list[Release]:
        """List every release of the line, oldest first; the last one is live."""
        ...

    def record_release(self, release: Release) -> None:
        """Append to the line's release history. Raises ModelError."""
        ...


class Versions(Protocol):
    """Stored versions as a person looks at them, and chooses the live one."""

    def stored(self, line: str) -> list[str]:
        """List the complete versions of a line, oldest first. Raises ModelError, StoreAway."""
        ...

    def card(self, line: str, version: str) -> VersionCard:
        """Read what the version's card says. Raises ModelError, StoreAway."""
        ...

    def history(self, line: str) -> list[Release]:
        """List every release of the line, oldest first; the last one is live. Raises ModelError, StoreAway."""
        ...

    def promote(self, line: str, version: str, *, seen: Seen | None = None) -> Release:
        """Let a stored version go live. Raises ModelError, ReleaseRefused or TransportError.

        With `seen` it is refused unless the line is still in that state.
        """
        ...

    def rollback(self, line: str, *, to: str | None = None, seen: Seen | None = None) -> Release:
        """Let the version that was live before go live again; refused if that is not `to`. Raises as `promote`."""
        ...
