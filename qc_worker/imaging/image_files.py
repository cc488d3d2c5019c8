"""Finds image files in folders that people made."""

import os
import shlex
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from qc_worker.domain.names import readable

IMAGE_SUFFIXES = frozenset(
    {
        *(".apng", ".avif", ".avifs", ".bmp", ".bw", ".dib", ".gif", ".icb", ".j2c", ".j2k", ".jfif", ".jp2", ".jpc"),
        *(".jpe", ".jpeg", ".jpf", ".jpg", ".jpx", ".mpo", ".pbm", ".pcx", ".pfm", ".pgm", ".png", ".pnm", ".ppm"),
        *(".qoi", ".rgb", ".rgba", ".sgi", ".tga", ".tif", ".tiff", ".vda", ".vst", ".webp"),
    }
)
"""All suffixes of files in the formats that are decoded."""
LONGEST_SUFFIX = 8

HIDDEN = "hidden"
UNOPENED = "folder that cannot be opened"
"""The system's reason is appended."""
BROKEN_LINK = "broken link"
REACHED_TWICE = "folder reached twice"
NO_FILE = "neither file nor folder"
NO_SUFFIX = "no suffix"

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class FoundImages:
    """Files with an image's suffix, by path, and everything else, by the reason for leaving it out."""

    files: tuple[Path, ...]
    left_out: Mapping[str, tuple[Path, ...]]

    def __str__(self) -> str:
        reasons = ", ".join(f"{reason}: {len(paths)}" for reason, paths in self.left_out.items())
        return f"{len(self.files)} image files; left out: {reasons or 'nothing'}"


def image_files(folder: Path) -> list[Path]:
    """List the files in `folder` and below that have an image's suffix, by path; log a count of everything else."""
    found = find_images(folder)
    counts = {reason: len(paths) for reason, paths in found.left_out.items()}
    if found.files and counts.keys() - {HIDDEN}:
        log.warning("not taken as images", folder=readable(folder), found=counts)
    return list(found.files)


def find_images(folder: Path) -> FoundImages:
    """Search `folder` and all folders below, also through links, each folder once; hidden ones are left out."""
    search = _Search()
    search.run(folder)
    left_out = {reason: tuple(sorted(paths)) for reason, paths in sorted(search.left_out.items())}
    return FoundImages(tuple(sorted(search.files)), left_out)


def quoted(name: str | Path) -> str:
    """Quote a file's name for a shell; bytes that are not UTF-8 are escaped as bash, zsh and ksh write them."""
    text = readable(name)
    if text == str(name):
        return shlex.quote(text)
    escaped = os.fsencode(name).replace(b"\\", b"\\\\").replace(b"'", b"\\'")
    return f"$'{escaped.decode('utf-8', 'backslashreplace')}'"


@dataclass(slots=True)
class _Search:
    files: list[Path] = field(default_factory=list)
    left_out: dict[str, list[Path]] = field(default_factory=dict)
    _links: deque[Path] = field(default_factory=deque)
    """Links to folders. They wait until all real folders were seen, so that a file is listed by its real path if it
    has one."""
    _seen: set[tuple[int, int]] = field(default_factory=set)

    def run(self, folder: Path) -> None:
        self._links.append(folder)
        while self._links:
            waiting = [self._links.popleft()]
            while waiting:
                waiting += self._look_into(waiting.pop())

    def _look_into(self, folder: Path) -> Iterator[Path]:
        """Sort in the entries of a folder; yield the folders in it."""
        try:
            if self._is_known(folder):
                self._leave_out(REACHED_TWICE, folder)
                return
            with os.scandir(folder) as entries:
                found = [(entry.name, entry.is_symlink(), _is_folder(entry)) for entry in entries]
        except OSError as error:
            self._leave_out(f"{UNOPENED} ({(error.strerror or 'unknown reason').lower()})", folder)
            return
        for name, is_link, is_folder in found:
            path = folder / name
            if name.startswith("."):
                self._leave_out(HIDDEN, path)
            elif is_folder:
                if is_link:
                    self._links.append(path)
                else:
                    yield path
            else:
                self._sort_in(path, is_link=is_link)

    def _is_known(self, folder: Path) -> bool:
        status = folder.stat()
        place = (status.st_dev, status.st_ino)
        known = place in self._seen
        self._seen.add(place)
        return known

    def _sort_in(self, path: Path, *, is_link: bool) -> None:
        if path.suffix.lower() not in IMAGE_SUFFIXES:
            self._leave_out(_suffix(path), path)
        elif _is_file(path):
            self.files.append(path)
        else:
            self._leave_out(BROKEN_LINK if is_link else NO_FILE, path)

    def _leave_out(self, reason: str, path: Path) -> None:
        self.left_out.setdefault(reason, []).append(path)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _is_file(path: Path) -> bool:
    """Return True also if the system cannot say: reading the file then gives the reason."""
    try:
        return path.is_file()
    except OSError:
        return True


def _suffix(path: Path) -> str:
    suffix = path.suffix.lower()
    is_kind = len(suffix) <= LONGEST_SUFFIX and suffix[1:].isalnum() and not suffix[1:].isdigit()
    return f"suffix {suffix}" if is_kind and suffix.isascii() else NO_SUFFIX
