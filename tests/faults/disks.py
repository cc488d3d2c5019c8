"""Disks that fill up."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.conftest import skip_on_a_laptop


@contextmanager
def small_disk(folder: Path, *, megabytes: int = 16) -> Iterator[None]:
    """Put what lies in a folder on a small file system; what was added to it is gone in the end."""
    aside = folder.with_suffix(".aside")
    shutil.copytree(folder, aside)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        skip_on_a_laptop("needs the right to mount a file system")
    try:
        shutil.copytree(aside, folder, dirs_exist_ok=True)
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@contextmanager
def filled(folder: Path) -> Iterator[None]:
    """Leave no room on the disk."""
    filler = folder / "filler"
    with suppress(OSError), filler.open("wb", buffering=0) as file:  # no space left on device
        while True:
            file.write(bytes(4096))
    try:
        yield
    finally:
        filler.unlink()
