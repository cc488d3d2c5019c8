"""Folders as people find them: some may not be entered."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NOBODY = 65_534


@contextmanager
def open_folder() -> Iterator[Path]:
    """A folder that anybody may enter, unlike pytest's own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@contextmanager
def unprivileged() -> Iterator[None]:
    """Run as somebody whom permissions bind: they do not bind root."""
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
    """Take permissions away, and give them back."""
    folder.chmod(mode)
    try:
        with unprivileged():
            yield
    finally:
        folder.chmod(0o755)
