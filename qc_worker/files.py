"""Reads files within a bound, computes their digests, and writes them whole or not at all."""

import hashlib
import os
import tempfile
from pathlib import Path

from qc_worker.domain.errors import ModelError


def file_sha256(path: Path) -> str:
    """Compute the SHA-256 of a file as hex. Raises ModelError."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}") from None


def read_bounded(path: Path, *, max_bytes: int) -> bytes:
    """Read a whole file of at most `max_bytes`. Raises ModelError."""
    try:
        with path.open("rb") as file:
            # One byte more than allowed: the size in the directory may be stale, the bytes that were read are not.
            content = file.read(max_bytes + 1)
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}") from None
    if len(content) > max_bytes:
        raise ModelError(f"{path} has more than {max_bytes} bytes")
    return content


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that appears whole or not at all. Raises ModelError."""
    try:
        write_atomically(path, content)
    except OSError as error:
        raise ModelError(f"{path} cannot be written: {error.strerror}") from None


def write_atomically(path: Path, content: bytes) -> None:
    """Write beside `path`, then rename; a partial file is removed. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".tmp-", delete=False) as file:
        partial = Path(file.name)
        try:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            partial.replace(path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
