"""Creates folders that appear whole or not at all."""

import filecmp
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from time import time
from uuid import uuid4

STALE_AFTER_S = 3600.0
_INCOMING = ".incoming-"


def place(target: Path, fill: Callable[[Path], None]) -> Path:
    """Let `fill` write into a folder beside `target`, then move that to `target`. Returns `target`.

    The folder is filled each time, so that a cached one that was damaged on disk is repaired; but a target that is
    still the same is left alone, because another worker on this machine may be reading it.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    _sweep(target.parent)
    incoming = target.parent / f"{_INCOMING}{uuid4().hex}"
    incoming.mkdir()
    try:
        fill(incoming)
        if not _same(incoming, target):
            _swap(incoming, target)
    finally:
        shutil.rmtree(incoming, ignore_errors=True)
    return target


def _same(left: Path, right: Path) -> bool:
    files = sorted(path.name for path in left.iterdir())
    matches, _, _ = filecmp.cmpfiles(left, right, files, shallow=False)
    return sorted(matches) == files


def _swap(incoming: Path, target: Path) -> None:
    outgoing = target.parent / f"{_INCOMING}{uuid4().hex}"
    with suppress(FileNotFoundError):
        target.rename(outgoing)
    try:
        incoming.rename(target)
    except OSError:
        # Another worker was faster; it put the same version there.
        if not target.is_dir():
            raise
    shutil.rmtree(outgoing, ignore_errors=True)


def _sweep(folder: Path) -> None:
    """Remove partial folders that a crash left."""
    for leftover in folder.glob(f"{_INCOMING}*"):
        with suppress(FileNotFoundError):
            if leftover.stat().st_mtime < time() - STALE_AFTER_S:
                shutil.rmtree(leftover, ignore_errors=True)
