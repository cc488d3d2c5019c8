"""Let one process at a time write a line's releases: two that read and write them at once would lose one.

In a folder the system holds the lock, and frees it when its process ends. Elsewhere an object does, which is created
only if there is none; one that a crash left is removed when it is older than any announcement takes.
"""

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from time import monotonic, sleep
from typing import Any
from uuid import uuid4

from filelock import FileLock, Timeout
from fsspec.implementations.local import LocalFileSystem

from qc_worker.domain.errors import ReleaseRefused

PATIENCE_S = 10.0
RETRY_S = 0.1
STALE_AFTER = timedelta(minutes=5)
HELD = "another process lets a version of this line go live right now: look at the line again in a minute"

Free = Callable[[], None]


def hold(file_system: Any, path: str, *, patience_s: float = PATIENCE_S) -> Free:
    """Take the lock, and return how to free it. Raises ReleaseRefused if another one still holds it then."""
    if isinstance(file_system, LocalFileSystem):
        return _hold_file(path, patience_s)
    token = f"{datetime.now(UTC).isoformat()} {uuid4().hex}".encode()
    until_s = monotonic() + patience_s
    while not _created(file_system, path, token):
        _remove_if_stale(file_system, path)
        if monotonic() >= until_s:
            raise ReleaseRefused(HELD)
        sleep(RETRY_S)
    return lambda: _remove_if(file_system, path, token)


def _hold_file(path: str, patience_s: float) -> Free:
    lock = FileLock(path, mode=0o666)
    try:
        lock.acquire(timeout=patience_s)
    except Timeout:
        raise ReleaseRefused(HELD) from None
    return lock.release


def _created(file_system: Any, path: str, token: bytes) -> bool:
    try:
        file_system.pipe_file(path, token, mode="create")
    except FileExistsError:
        pass  # it may be freed again by now; and it may be ours, if only the store's answer was lost
    except Exception:  # stores have names of their own for a lost race (S3: 409); any other failure is raised
        if not file_system.exists(path):
            raise
    # Some file systems look first and write then: of two that wrote, one finds the other's token.
    return _content(file_system, path) == token


def _remove_if_stale(file_system: Any, path: str) -> None:
    content = _content(file_system, path)
    try:
        held_for = datetime.now(UTC) - datetime.fromisoformat(content.decode().partition(" ")[0])
    except (ValueError, TypeError):
        return
    if held_for > STALE_AFTER:
        _remove_if(file_system, path, content)


def _remove_if(file_system: Any, path: str, content: bytes) -> None:
    if _content(file_system, path) == content:
        with suppress(FileNotFoundError):
            file_system.rm_file(path)


def _content(file_system: Any, path: str) -> bytes:
    try:
        return bytes(file_system.cat_file(path))
    except FileNotFoundError:
        return b""
