"""Find the user's folders; some users, as of a container, have none."""

from pathlib import Path

from platformdirs import user_data_path

UNKNOWN_HOME = Path("~")


def data_home() -> Path:
    """Return the user's folder for program data; UNKNOWN_HOME if HOME is unset and passwd has no entry."""
    try:
        folder = user_data_path()
    except RuntimeError:
        return UNKNOWN_HOME
    return folder if folder.is_absolute() else UNKNOWN_HOME


def expanded(path: Path) -> Path:
    try:
        return path.expanduser()
    except RuntimeError:
        raise ValueError(f"{path}: this user has no known home folder; write the full path") from None
