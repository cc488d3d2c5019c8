"""Report full disks and forbidden folders in one line; write files whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from qc_worker.domain.errors import TrainingError
from qc_worker.files import write_atomically
from qc_worker.runtime.state_folder import UNUSABLE, remedy


@contextmanager
def disk_errors() -> Iterator[None]:
    """Turn a full disk or a folder without permission into one line. Raises TrainingError."""
    try:
        yield
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        advice = f"; {remedy(error)}" if error.errno in UNUSABLE else ""
        raise TrainingError(f"cannot read or write{where}: {error.strerror or error}{advice}") from error
    except SafetensorError as error:
        raise TrainingError(f"cannot write the model: {error}") from error


def write_readable(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, with the permissions that the umask gives new files. Raises OSError."""
    write_atomically(path, content)
    umask = os.umask(0)
    os.umask(umask)
    path.chmod(0o666 & ~umask)
