"""Programs from Debian's packages, which root in CI installs if they are missing."""

import os
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from filelock import FileLock

Found = TypeVar("Found")

LOCK = Path(tempfile.gettempdir()) / "qc-tests-apt-get.lock"


def found_or_installed(find: Callable[[], Found | None], package: str) -> Found | None:
    """Return what `find` finds; in CI and as root, install the package first if that is nothing."""
    if (found := find()) is not None or not os.environ.get("CI") or os.geteuid() != 0:
        return found
    with FileLock(LOCK):  # apt-get refuses to run twice at once, and several processes may run the tests
        if find() is None:
            for arguments in (["update"], ["install", "-y", "--no-install-recommends", package]):
                subprocess.run(["apt-get", *arguments], check=True, capture_output=True)
    return find()
