"""Stores model folders on a disk or on anything that fsspec has a name for (`s3://`, `gs://`, `memory://`, ...).

<line>/<version>/head.safetensors   not there if the card says that the version shares another's (`shared_heads`)
<line>/<version>/card.json          written last: a version exists if and only if this file does
<line>/releases.jsonl               every release of the line, oldest first
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import structlog
from fsspec.core import url_to_fs

from qc_worker.domain import names
from qc_worker.domain.errors import ModelError, ReleaseRefused, SettingsError, StoreAway, TransportError
from qc_worker.domain.release import Release
from qc_worker.registry.local_copy import place
from qc_worker.registry.release_lock import hold
from qc_worker.registry.shared_heads import CARD_FILE, HEAD_FILE, SharedHead, local_head, shared_head
from qc_worker.runtime.state_folder import UNUSABLE, remedy
from qc_worker.wire.json_types import decode_release, encode_release

log = structlog.get_logger()

RELEASES_FILE = "releases.jsonl"
LOCK_FILE = ".releases.lock"
MEBIBYTE = 1024 * 1024
MAX_BYTES = {HEAD_FILE: 1024 * MEBIBYTE, CARD_FILE: 64 * MEBIBYTE, RELEASES_FILE: 64 * MEBIBYTE}
"""No valid file is larger; a damaged store must not fill the worker's disk or memory."""
STALE_AFTER = timedelta(hours=1)
"""Partial folders older than this are removed: nobody can still be writing them."""


def without_secrets(url: str) -> str:
    """Return the URL without user and password, for messages."""
    scheme, separator, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}" if separator else url


class FsspecModelStore:
    """Model store on any file system of fsspec; names of lines and versions are checked before they enter a path."""

    def __init__(self, url: str) -> None:
        try:
            self._fs, root = url_to_fs(url)
        except ImportError as error:
            # fsspec's message names the package to install.
            raise SettingsError(f"model_store {without_secrets(url)!r}: {error}") from error
        except ValueError as error:
            known = "a folder, or a URL that fsspec has a name for (s3://, gs://, ...)"
            raise SettingsError(f"model_store {without_secrets(url)!r} cannot be used: give {known}") from error
        except Exception as error:
            # Some file systems connect at once.
            raise TransportError(f"model_store {without_secrets(url)!r}: {_reason(error)}") from error
        self._root = root.rstrip("/")

    def lines(self) -> list[str]:
        with _store_errors("listing lines"):
            return [line for line in self._folders(self._root) if self._complete(line)]

    def versions(self, line: str) -> list[str]:
        with _store_errors(f"listing versions of {line}"):
            return self._complete(_line(line))

    def add(self, folder: Path, *, line: str, version: str) -> None:
        home = self._home(line, version)
        with _store_errors(f"storing {line}/{version}"):
            self._sweep(line)
            if self._fs.exists(f"{home}/{CARD_FILE}"):
                raise ModelError(f"{line}/{version} is in the store already, and versions never change")
            shared = shared_head(folder / CARD_FILE, version)
            try:
                if shared is None:
                    self._write(folder / HEAD_FILE, f"{home}/{HEAD_FILE}")
                else:
                    self._home_of_shared(line, version, shared)
                self._write(folder / CARD_FILE, f"{home}/{CARD_FILE}")
            except BaseException:
                with suppress(Exception):
                    self._fs.rm(home, recursive=True)
                raise

    def fetch(self, line: str, version: str, *, into: Path) -> Path:
        home = self._home(line, version)
        with _store_errors(f"fetching {line}/{version}", into):
            if not self._fs.exists(f"{home}/{CARD_FILE}"):
                raise ModelError(f"{line}/{version} is not in the model store")
            return place(into / line / version, lambda folder: self._download(line, version, folder))

    def read_card(self, line: str, version: str) -> bytes:
        card = f"{self._home(line, version)}/{CARD_FILE}"
        with _store_errors(f"reading {line}/{version}"):
            if not self._fs.exists(card):
                raise ModelError(f"{line}/{version} is not in the model store")
            self._check_size(card)
            return bytes(self._fs.cat_file(card))

    @contextmanager
    def releasing(self, line: str) -> Iterator[None]:
        path = f"{self._root}/{_line(line)}/{LOCK_FILE}"
        with _store_errors(f"locking the releases of {line}"):
            self._fs.makedirs(path.rpartition("/")[0], exist_ok=True)
            free = hold(self._fs, path)
        try:
            yield
        finally:
            with suppress(Exception):  # a lock that is left behind must not hide what was done under it
                free()

    def releases(self, line: str) -> list[Release]:
        with _store_errors(f"reading releases of {line}"):
            return [release for row in self._release_rows(line) if (release := _release(line, row)) is not None]

    def record_release(self, release: Release) -> None:
        with _store_errors(f"recording a release of {release.line}"):
            names.model_version(release.version)
            rows = [*self._release_rows(release.line), encode_release(release)]
            # Written beside it, then moved into place: readers see the old history or the new one, never half a row.
            self._replace(self._history(release.line), b"".join(row + b"\n" for row in rows))

    def _complete(self, line: str) -> list[str]:
        folder = f"{self._root}/{line}"
        return [version for version in self._folders(folder) if self._fs.exists(f"{folder}/{version}/{CARD_FILE}")]

    def _folders(self, path: str) -> list[str]:
        """List the names of the folders in a folder, sorted; names that no line or version can have are left out."""
        try:
            entries = self._fs.ls(path, detail=True, refresh=True)
        except FileNotFoundError:
            return []
        found = (entry["name"].rstrip("/").rpartition("/")[2] for entry in entries if entry["type"] == "directory")
        return sorted(name for name in found if _is_name(name))

    def _release_rows(self, line: str) -> list[bytes]:
        history = self._history(line)
        if not self._fs.exists(history):
            return []
        self._check_size(history)
        return [row for row in self._fs.cat_file(history).splitlines() if row.strip()]

    def _download(self, line: str, version: str, folder: Path) -> None:
        """Copy both files into `folder`, wherever the head is stored: a local copy never depends on another one."""
        home = self._home(line, version)
        self._download_file(f"{home}/{CARD_FILE}", folder)
        shared = shared_head(folder / CARD_FILE, version)
        if shared is None:
            self._download_file(f"{home}/{HEAD_FILE}", folder)
        elif (kept := local_head(folder.parent, shared)) is not None:
            shutil.copyfile(kept, folder / HEAD_FILE)
        else:
            self._download_file(f"{self._home_of_shared(line, version, shared)}/{HEAD_FILE}", folder)

    def _download_file(self, path: str, folder: Path) -> None:
        self._check_size(path)
        self._fs.get_file(path, str(folder / path.rpartition("/")[2]))

    def _home_of_shared(self, line: str, version: str, shared: SharedHead) -> str:
        """Return the folder of the version whose head is shared. Raises ModelError if it is gone."""
        home = self._home(line, shared.version)
        if not self._fs.exists(f"{home}/{HEAD_FILE}"):
            raise ModelError(
                f"{line}/{version} shares the head of {line}/{shared.version}, which is not in the model store: "
                f"put that folder back, or retrain"
            )
        return home

    def _check_size(self, path: str) -> None:
        size_bytes = self._fs.info(path)["size"]
        limit_bytes = MAX_BYTES[path.rpartition("/")[2]]
        if size_bytes > limit_bytes:
            raise ModelError(f"{path} has {size_bytes} bytes, at most {limit_bytes} are read")

    def _write(self, source: Path, path: str) -> None:
        partial = self._partial(path)
        self._fs.put_file(str(source), partial)
        self._fs.mv(partial, path)

    def _replace(self, path: str, content: bytes) -> None:
        partial = self._partial(path)
        try:
            self._fs.pipe_file(partial, content)
            self._fs.mv(partial, path)
        except BaseException:
            with suppress(Exception):
                self._fs.rm_file(partial)
            raise

    def _partial(self, path: str) -> str:
        folder, _, file = path.rpartition("/")
        self._fs.makedirs(folder, exist_ok=True)
        return f"{folder}/.{file}.{uuid4().hex}.partial"

    def _sweep(self, line: str) -> None:
        """Remove versions of the line that a crash left without card.json."""
        for version in self._folders(f"{self._root}/{line}"):
            home = f"{self._root}/{line}/{version}"
            if not self._fs.exists(f"{home}/{CARD_FILE}") and self._stale(home):
                log.info("half-written model removed", line=line, version=version)
                self._fs.rm(home, recursive=True)

    def _stale(self, home: str) -> bool:
        changed: list[datetime] = [self._fs.modified(file) for file in self._fs.find(home)]
        return all(_aware(at) < datetime.now(UTC) - STALE_AFTER for at in changed)

    def _home(self, line: str, version: str) -> str:
        try:
            return f"{self._root}/{_line(line)}/{names.model_version(version)}"
        except ValueError as error:
            raise ModelError(str(error)) from None

    def _history(self, line: str) -> str:
        return f"{self._root}/{_line(line)}/{RELEASES_FILE}"


@contextmanager
def _store_errors(what: str, into: Path | None = None) -> Iterator[None]:
    """Turn any error of a file system into a ModelError: the store, or the folder of copies, cannot be used now."""
    try:
        yield
    except (ModelError, ReleaseRefused):
        raise
    except Exception as error:
        if isinstance(error, OSError) and into is not None and _is_within(into, error.filename2 or error.filename):
            raise ModelError(f"{what}: {error.strerror} ({error.filename}); {remedy(error)}") from error
        # A file that is missing will be missing at the next try too.
        kind = ModelError if isinstance(error, FileNotFoundError) else StoreAway
        raise kind(f"model store: {what}: {_reason(error)}{_advice(error)}") from error


def _advice(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno in UNUSABLE:
        return f"; {remedy(error, 'QC_MODEL_STORE')}"
    return ""


def _reason(error: Exception) -> str:
    where = getattr(error, "filename", None)
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return f"{reason} ({where})" if where and str(where) not in reason else reason


def _is_within(folder: Path, path: object) -> bool:
    return isinstance(path, str | Path) and Path(path).is_relative_to(folder)


def _release(line: str, row: bytes) -> Release | None:
    try:
        release = decode_release(row)
        return release if release.line == line else None
    except ValueError as error:
        log.warning("release history has an unreadable row", line=line, reason=str(error))
        return None


def _line(line: str) -> str:
    try:
        return names.line_name(line)
    except ValueError as error:
        raise ModelError(str(error)) from None


def _is_name(name: str) -> bool:
    try:
        return bool(names.model_version(name))
    except ValueError:
        return False


def _aware(at: datetime) -> datetime:
    return at if at.tzinfo else at.replace(tzinfo=UTC)
