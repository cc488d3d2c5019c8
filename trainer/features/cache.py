"""Cache of features on disk: a frame is passed through the backbone once, however often its line is retrained.

`<folder>/<digest of the spec>/<name>.features`, one file for each frame, and `spec.json` for people. Names are made of
hexadecimal digests alone. Everything here can be computed again: removing the folder is always safe.
"""

import os
import re
import shutil
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import structlog
from torch import Tensor

from qc_worker.domain.errors import TrainingError
from qc_worker.files import write_atomically
from trainer.features.file import map_features, write_features
from trainer.features.spec import FeatureSpec

SUFFIX = ".features"
SPEC_FILE = "spec.json"
NAME = re.compile(r"[0-9a-f]{64}(-[0-9a-f]{16})?")
"""A sample's SHA-256; for features of an altered sample, followed by a digest of the alteration."""
SAMPLE_LENGTH = 64
LEFTOVER_AGE_S = 3600
MEBIBYTE = 1 << 20

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Shelf:
    """Features of one spec."""

    folder: Path

    def get(self, name: str) -> Tensor | None:
        """Map the rows stored under a name; None if they are absent, truncated or altered. Raises OSError."""
        path = self._path(name)
        rows = map_features(path, key=name)
        if rows is not None:
            os.utime(path)  # the time of its last use: `make_room` removes the oldest first
        return rows

    def put(self, name: str, rows: Tensor) -> None:
        """Store rows, (P, C), under a name. Raises OSError."""
        write_features(self._path(name), rows, key=name)

    def _path(self, name: str) -> Path:
        if not NAME.fullmatch(name):
            raise TrainingError(
                f"{name!r} is not a sample's SHA-256: remove what was added to the sample store by hand"
            )
        return self.folder / f"{name}{SUFFIX}"


@dataclass(frozen=True, slots=True)
class FeatureCache:
    """Features of every spec, in at most `max_bytes`."""

    folder: Path
    max_bytes: int

    def shelf(self, spec: FeatureSpec) -> Shelf:
        """Open the shelf of a spec, and mark the spec as used. Raises OSError."""
        folder = self.folder / spec.digest()
        if not (folder / SPEC_FILE).is_file():
            write_atomically(folder / SPEC_FILE, spec.document().encode())
        os.utime(folder / SPEC_FILE)
        return Shelf(folder)

    def make_room(self, shelf: Shelf, *, n_bytes: int, samples: Collection[str], needed: Collection[str]) -> None:
        """Remove features until the `needed` ones, `n_bytes` in all, fit beside the rest.

        Removed first: leftovers of killed processes, and features of samples that no longer exist (`samples` names all
        that do). Then whole specs, then single frames, the longest unused first.
        Raises TrainingError if the needed ones alone are too large, OSError.
        """
        if n_bytes > self.max_bytes:
            raise TrainingError(
                f"features of this line take {n_bytes // MEBIBYTE + 1} MiB on disk, {self.max_bytes // MEBIBYTE} are "
                "allowed: allow more with --max-feature-mib"
            )
        self._remove_leftovers()
        self._remove_vanished(frozenset(samples))
        in_use = frozenset(needed)
        spare = self.max_bytes - n_bytes - self._bytes_beside(shelf, in_use)
        for path in self._oldest_first(shelf, in_use):
            if spare >= 0:
                break
            spare += _remove(path)

    def _remove_leftovers(self) -> None:
        old = time.time() - LEFTOVER_AGE_S
        for path in self.folder.glob("*/.tmp-*"):
            if _modified_s(path) < old:
                _remove(path)

    def _remove_vanished(self, samples: frozenset[str]) -> None:
        for path in self._files():
            if path.name[:SAMPLE_LENGTH] not in samples:
                _remove(path)

    def _bytes_beside(self, shelf: Shelf, in_use: frozenset[str]) -> int:
        return sum(_size(path) for path in self._files() if path.parent != shelf.folder or path.stem not in in_use)

    def _oldest_first(self, shelf: Shelf, in_use: frozenset[str]) -> Iterator[Path]:
        """List what may be removed: other specs' folders, then this one's frames that are not in use."""
        others = (path for path in self.folder.iterdir() if path.is_dir() and path != shelf.folder)
        yield from sorted(others, key=lambda folder: _modified_s(folder / SPEC_FILE))
        own = (path for path in shelf.folder.glob(f"*{SUFFIX}") if path.stem not in in_use)
        yield from sorted(own, key=_modified_s)

    def _files(self) -> Iterator[Path]:
        return self.folder.glob(f"*/*{SUFFIX}")


def _remove(path: Path) -> int:
    """Remove a file or a spec's folder and return its bytes; processes that have it mapped keep the mapping."""
    if path.is_dir():
        freed = sum(_size(file) for file in path.iterdir())
        shutil.rmtree(path, ignore_errors=True)
        log.info("features of an old spec removed", folder=path.name[:12], freed_mib=freed // MEBIBYTE)
        return freed
    freed = _size(path)
    path.unlink(missing_ok=True)
    return freed


def _size(path: Path) -> int:
    # Another process may remove the file at the same time.
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _modified_s(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
