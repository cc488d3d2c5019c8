"""Allow one retrain, promotion or rollback of a line at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from qc_worker.domain.errors import TrainingError
from qc_worker.domain.names import LineName


@contextmanager
def line_lock(folder: Path, line: LineName) -> Iterator[None]:
    """Hold the line's lock file in `folder`; the system frees it when the process ends, even by a kill.

    Raises TrainingError at once if another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / f".{line}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise TrainingError(
            f"line {line} is being retrained or released by another process: try again when it has finished"
        ) from None
    try:
        yield
    finally:
        lock.release()
