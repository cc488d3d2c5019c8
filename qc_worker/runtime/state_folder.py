"""Check the state folder, which holds the files that this machine may lose, before anything else is done."""

import errno
import os
from pathlib import Path

from qc_worker.domain.errors import SettingsError

DENIED = (errno.EACCES, errno.EPERM, errno.EROFS)
"""Error numbers of another user's folder and of a read-only file system."""
UNUSABLE = (*DENIED, errno.ENOTDIR)
"""Error numbers after which a retry cannot help; ENOTDIR: the path leads through a file."""


def usable(folder: Path) -> Path:
    """Make the folder if it is missing, and return it. Raises SettingsError if this user cannot write there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise refused(folder, error) from None
    if not os.access(folder, os.W_OK | os.X_OK):
        cause = errno.EROFS if os.statvfs(folder).f_flag & os.ST_RDONLY else errno.EACCES
        raise refused(folder, OSError(cause, os.strerror(cause)))
    return folder


def refused(folder: Path, error: OSError) -> SettingsError:
    """Make the error of a state folder that cannot be used, with what to do."""
    where = error.filename or folder
    return SettingsError(f"state folder {folder}: {error.strerror or error} ({where}); {remedy(error)}")


def remedy(error: OSError, setting: str = "QC_STATE_DIR") -> str:
    """Say what to do about a folder or file that cannot be used."""
    if error.errno == errno.EROFS:
        return f"it is mounted read-only: set {setting} to a writable folder"
    if error.errno in DENIED:
        return f"give user {os.getuid()} permission to write there, or set {setting} to another folder"
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        return f"it is not a folder: set {setting} to a folder"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"free space on that disk, or set {setting} to another folder"
    return f"set {setting} to another folder"
