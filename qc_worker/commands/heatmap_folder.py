"""`qc-worker score --heatmaps DIR`: one picture per judged file, each with a name of its own."""

import os
import unicodedata
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path

import numpy as np

from qc_worker.domain.errors import SettingsError
from qc_worker.domain.names import readable
from qc_worker.engine.decoding import Decoded
from qc_worker.imaging.heatmap import render_heatmap

SUFFIX = ".png"
MAX_NAME_BYTES = 255
"""Of a file's name on most file systems; encrypting ones take less."""


class HeatmapFolder:
    """Writes a heatmap beside a thumbnail for every file judged; without a folder, none."""

    def __init__(self, folder: Path | None, paths: Sequence[Path]) -> None:
        """Make the folder. Raises SettingsError if it cannot be written, or pictures would replace `paths`."""
        self._folder = folder
        self._names: list[str] = []
        if folder:
            _make(folder)
            self._names = distinct_names(paths, max_bytes=_longest_name(folder))
            _check_sources(folder, self._names, paths)

    def offer(self, decoded: Decoded, anomaly_map: np.ndarray) -> str | None:
        """Write the heatmap and return its path; never leaves half a picture. Raises SettingsError."""
        if self._folder is None:
            return None
        threshold = decoded.resident.calibration.threshold
        png, _ = render_heatmap(decoded.picture, anomaly_map, threshold, decoded.spec.aspect)
        target = self._folder / self._names[decoded.frame.position.offset]
        _write(target, png)
        return readable(target)


def distinct_names(paths: Sequence[Path], *, max_bytes: int = MAX_NAME_BYTES) -> list[str]:
    """Choose a distinct file name for the picture of each of `paths`, also where a file system ignores case or accents.

    A picture is named as its file is; where several files would have one name, or it had to be cut, a number follows.
    """
    room = max_bytes - len(SUFFIX) - len(f"-{len(paths)}")
    stems = [_cut(readable(path.stem), room) for path in paths]
    uses = Counter(map(_alike, stems))
    taken = {stem for stem, used in uses.items() if used == 1}
    numbers = {stem: count() for stem in uses}
    return [_numbered(stem, numbers[_alike(stem)], uses, taken) + SUFFIX for stem in stems]


def _write(target: Path, png: bytes) -> None:
    """Write the picture whole or not at all; unlike a model, it need not survive a power failure."""
    partial = target.parent / f".{os.getpid()}.partial"
    try:
        partial.write_bytes(png)
        partial.replace(target)
    except OSError as error:
        raise SettingsError(f"--heatmaps {target}: {error.strerror}") from None
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def _numbered(stem: str, numbers: "count[int]", uses: Counter[str], taken: set[str]) -> str:
    if uses[_alike(stem)] == 1:
        return stem
    for number in numbers:
        name = f"{stem}-{number}"
        if _alike(name) not in taken:
            break
    taken.add(_alike(name))
    return name


def _alike(name: str) -> str:
    """Reduce a name to what no file system ignores; equal for names that one may treat as the same."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _cut(name: str, max_bytes: int) -> str:
    """Cut a name to `max_bytes`, between two characters."""
    while len(os.fsencode(name)) > max_bytes:
        name = name[:-1]
    return name


def _longest_name(folder: Path) -> int:
    try:
        return min(MAX_NAME_BYTES, os.pathconf(folder, "PC_NAME_MAX"))
    except (OSError, ValueError):
        return MAX_NAME_BYTES


def _make(folder: Path) -> None:
    """Make the folder and check that it can be written, before minutes of judging. Raises SettingsError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise SettingsError(f"--heatmaps {folder}: not a folder") from None
    except OSError as error:
        raise SettingsError(f"--heatmaps {folder}: {error.strerror}") from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise SettingsError(f"--heatmaps {folder}: no permission to write to this folder")


def _check_sources(folder: Path, names: Sequence[str], paths: Sequence[Path]) -> None:
    """Raise SettingsError if a picture would replace an image to judge; pictures of earlier runs may be replaced."""
    present = [name for name in names if (folder / name).exists()]
    sources = {_identity(path) for path in paths} if present else set()
    for name in present:
        if _identity(folder / name) in sources:
            raise SettingsError(f"--heatmaps {folder}: {name} in it is one of the images to judge: name another folder")


def _identity(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino
