"""Patch features of one frame in one file: a header of fixed length, then the numbers as they lie in memory.

The header is JSON, padded with spaces: SHA-256 of key, shape, number format and numbers; shape; number format. No
pickles: a wrong file can never run code. A truncated or altered file counts as absent.
"""

import hashlib
import json
import math
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

HEADER_BYTES = 256
"""A multiple of 64, so that the numbers are aligned for vector instructions."""
FORMATS = {"bfloat16": torch.bfloat16, "float16": torch.float16}


def write_features(path: Path, rows: Tensor, *, key: str) -> None:
    """Write rows, (P, C), of one of FORMATS; the file appears whole or not at all. Raises OSError."""
    kind = str(rows.dtype).removeprefix("torch.")
    numbers = rows.contiguous().view(torch.uint8).numpy().data
    header = {"sha256": _digest(numbers, key, kind, tuple(rows.shape)), "format": kind, "shape": tuple(rows.shape)}
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not flushed to the disk, unlike models: after a power cut the checksum fails, and the frame is computed again.
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".tmp-", delete=False) as file:
        partial = Path(file.name)
        try:
            file.write(json.dumps(header).encode().ljust(HEADER_BYTES))
            file.write(numbers)
            file.close()
            partial.replace(path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise


def map_features(path: Path, *, key: str) -> Tensor | None:
    """Map the rows written under `key`; None if the file is absent, truncated or altered. Raises OSError.

    Shape: (P, C). The rows stay on disk until they are used, and the system may drop them from memory again.
    """
    header = _header(path)
    if header is None:
        return None
    kind, shape, expected = header
    n_bytes = math.prod(shape) * FORMATS[kind].itemsize
    mapped = _mapped(path, HEADER_BYTES + n_bytes)
    if mapped is None or _digest(mapped[HEADER_BYTES:].numpy().data, key, kind, shape) != expected:
        return None
    return mapped[HEADER_BYTES:].view(FORMATS[kind]).view(shape)


def _mapped(path: Path, n_bytes: int) -> Tensor | None:
    """Map the whole file; None unless it has exactly so many bytes. Shape: uint8 (n_bytes,)."""
    try:
        if path.stat().st_size != n_bytes:
            return None
        # Unlike Python's mmap it keeps no file descriptor: thousands of frames would be more than a process may open.
        # A private mapping: torch needs memory that it could write to, and the file stays as it is.
        return torch.from_file(str(path), shared=False, size=n_bytes, dtype=torch.uint8)
    except FileNotFoundError:
        return None


def _header(path: Path) -> tuple[str, tuple[int, int], str] | None:
    try:
        with path.open("rb") as file:
            header: Any = json.loads(file.read(HEADER_BYTES))
    except (FileNotFoundError, ValueError):  # absent; neither JSON nor, perhaps, text
        return None
    match header:
        case {"sha256": str(digest), "format": str(kind), "shape": [int(rows), int(channels)]}:
            if kind in FORMATS and rows >= 0 and channels > 0:
                return kind, (rows, channels), digest
    return None


def _digest(numbers: memoryview, key: str, kind: str, shape: tuple[int, ...]) -> str:
    # With the key: a file that was renamed to another frame's name does not pass as that frame's features.
    digest = hashlib.sha256(f"{key} {kind} {shape}".encode())
    digest.update(numbers)
    return digest.hexdigest()
