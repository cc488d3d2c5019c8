"""The folder where this machine keeps what the programs may lose: checked before anything else is done."""

import errno
import os
from pathlib import Path

from qc_worker.domain.errors import SettingsError

DENIED = (errno.EACCES, errno.EPERM, errno.EROFS)
"""Another user's folder, or a file system that is mounted for reading only."""
UNUSABLE = (*DENIED, errno.ENOTDIR)
"""And a path that leads through a file. None of these will be better at the next try."""


def usable(folder: Path) -> Path:
    """Make the folder if it is missing. Raises SettingsError if this user cannot write there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise refused(folder, error) from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise refused(folder, OSError(_why_not(folder), os.strerror(_why_not(folder))))
    return folder


def refused(folder: Path, error: OSError) -> SettingsError:
    """The error to raise for a state folder that cannot be used, with what to do."""
    where = error.filename or folder
    return SettingsError(f"state folder {folder}: {error.strerror or error} ({where}); {remedy(error)}")


def remedy(error: OSError, setting: str = "QC_STATE_DIR") -> str:
    """What to do about a folder or a file that cannot be used."""
    if error.errno == errno.EROFS:
        return f"it is mounted read-only: name a writable folder by {setting}"
    if error.errno in DENIED:
        return f"let user {os.getuid()} use it, or name another folder by {setting}"
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        return f"it is no folder: name one by {setting}"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"make room on that disk, or name another folder by {setting}"
    return f"name another folder by {setting}"


def _why_not(folder: Path) -> int:
    return errno.EROFS if os.statvfs(folder).f_flag & os.ST_RDONLY else errno.EACCES
