"""Files that appear whole or not at all."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from qc_worker.domain.errors import TrainingError


def write_atomically(path: Path, content: bytes) -> None:
    """Write beside `path`, then rename; what is half-written is removed. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".tmp-", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def disk_errors() -> Iterator[None]:
    """Turn a full disk or a folder without permission into one line. Raises TrainingError."""
    try:
        yield
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        raise TrainingError(f"cannot read or write{where}: {error.strerror or error}") from error
    except SafetensorError as error:
        raise TrainingError(f"cannot write the model: {error}") from error
