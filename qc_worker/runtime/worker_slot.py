"""Name this worker process so that its successor gets the same name and can end an open transaction at once."""

import hashlib
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from filelock import FileLock, Timeout

from qc_worker.domain.errors import SettingsError
from qc_worker.runtime.state_folder import refused, usable


@contextmanager
def worker_slot(state_dir: Path) -> Iterator[str]:
    """Reserve a name that no other running worker has: machine, state folder, and the first free number.

    The lock ends with the process, also after a crash; the next worker that starts on the folder gets the name.
    Raises SettingsError.
    """
    folder = usable(usable(state_dir) / "workers")
    where = hashlib.sha256(str(state_dir.resolve()).encode()).hexdigest()[:8]
    for number in count():
        lock = FileLock(folder / f"{number}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            continue
        except OSError as error:  # such as a lock file of another user
            raise refused(state_dir, error) from None
        except NotImplementedError:
            advice = "set QC_STATE_DIR to a folder on a local disk"
            raise SettingsError(f"state folder {state_dir}: its file system does not support locks; {advice}") from None
        try:
            yield f"{socket.gethostname()}.{where}.{number}"
        finally:
            lock.release()
        return
