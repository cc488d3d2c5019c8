"""Has processes that share a folder of compiled kernels compile one after another, so that one does it for all."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog
from filelock import FileLock, Timeout

LOCK_FILE = "compiling.lock"
LONGEST_S = 900.0
"""Wait for another process no longer: it may hang in a compiler."""

log = structlog.get_logger()


@contextmanager
def compiling_alone(folder: Path) -> Iterator[None]:
    """Hold the folder's lock while the body compiles; the next process then finds the kernels there.

    Without a lock, such as on a file system that has none, the body runs all the same: compiling twice costs time only.
    """
    lock = FileLock(folder / LOCK_FILE)
    try:
        lock.acquire(timeout=LONGEST_S)
    except (Timeout, OSError, NotImplementedError) as error:
        log.warning("compiling without a lock", error=f"{type(error).__name__}: {error}")
    try:
        yield
    finally:
        lock.release()  # does nothing if it is not held
