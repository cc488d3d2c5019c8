"""Make folders with and without permissions."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NOBODY = 65_534


@contextmanager
def open_folder() -> Iterator[Path]:
    """Make a temporary folder that every user may enter, unlike pytest's own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@contextmanager
def unprivileged() -> Iterator[None]:
    """Run as another user if this is root, since permissions do not apply to root."""
    was = os.geteuid()
    if was == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if was == 0:
            os.seteuid(was)


@contextmanager
def locked(folder: Path, mode: int = 0o000) -> Iterator[None]:
    """Change a folder's permissions, and restore them at the end."""
    folder.chmod(mode)
    try:
        with unprivileged():
            yield
    finally:
        folder.chmod(0o755)
