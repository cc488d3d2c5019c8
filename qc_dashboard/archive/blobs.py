"""Store bytes under their SHA-256 on a disk or on anything that fsspec has a name for (`s3://`, `memory://`, ...).

`<url>/<first two digits>/<next two>/<sha256>`: a file appears whole or not at all, and never changes.
"""

import hashlib
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from uuid import uuid4

import structlog
from fsspec.core import url_to_fs

from qc_worker.domain.errors import SettingsError, TransportError
from qc_worker.runtime.failpoints import failpoint

PUTS_AT_ONCE = 8
WHOLE = frozenset({"s3", "s3a", "gcs", "gs", "abfs", "abfss", "az", "oci", "memory"})
"""Stores in which a file that is written appears whole or not at all; elsewhere it is written aside and renamed."""

log = structlog.get_logger()


class ArchiveAway(TransportError):
    """The archive's file system failed; a retry may help."""


class BlobStore:
    """Bytes by their SHA-256. Every method may raise ArchiveAway."""

    def __init__(self, url: str) -> None:
        try:
            self._fs, root = url_to_fs(url, use_listings_cache=False)
        except ImportError as error:
            # fsspec's message names the package to install.
            raise SettingsError(f"archive_url: {error}") from error
        except ValueError:
            # Its own message may repeat the URL, and with it a password.
            raise SettingsError(
                "archive_url cannot be used: give a folder, or a URL such as s3://BUCKET/NAME"
            ) from None
        except Exception as error:
            # Some file systems connect at once.
            raise ArchiveAway(f"archive: {_reason(error)}") from error
        self._root = root.rstrip("/")
        names = self._fs.protocol
        self._puts_whole = not WHOLE.isdisjoint([names] if isinstance(names, str) else names)

    def put_all(self, contents: Mapping[str, bytes]) -> None:
        """Write several blobs at once: to a store far away, most of the time is waiting."""
        with ThreadPoolExecutor(PUTS_AT_ONCE) as pool:
            for _ in pool.map(self.put, contents.keys(), contents.values()):
                pass  # raises the first error

    def put(self, sha256: str, content: bytes) -> None:
        """Write the bytes, unless they are there."""
        path = self._path(sha256)
        with _archive_errors(f"storing {sha256}"):
            if not self._is_whole(path, len(content)):
                self._write(path, content)

    def read(self, sha256: str) -> bytes | None:
        """Return the bytes; None if they are not there, or are not what they were."""
        with _archive_errors(f"reading {sha256}"):
            try:
                content = bytes(self._fs.cat_file(self._path(sha256)))
            except FileNotFoundError:
                return None
        if digest(content) == sha256:
            return content
        log.error("a file of the archive was changed", sha256=sha256)
        return None

    def remove(self, sha256: str) -> None:
        """Remove the bytes, if they are there."""
        with _archive_errors(f"removing {sha256}"), suppress(FileNotFoundError):
            self._fs.rm_file(self._path(sha256))

    def _is_whole(self, path: str, size_bytes: int) -> bool:
        try:
            found: int = self._fs.info(path)["size"]
        except FileNotFoundError:
            return False
        return found == size_bytes

    def _write(self, path: str, content: bytes) -> None:
        if self._puts_whole:
            self._fs.pipe_file(path, content)
            return
        folder, _, name = path.rpartition("/")
        self._fs.makedirs(folder, exist_ok=True)
        for left in self._fs.glob(f"{folder}/.{name}.*.partial"):
            self._fs.rm_file(left)  # by a process that died
        partial = f"{folder}/.{name}.{uuid4().hex}.partial"
        try:
            self._fs.pipe_file(partial, content)
            failpoint("in-blob")
            self._fs.mv(partial, path)
        except BaseException:
            with suppress(Exception):
                self._fs.rm_file(partial)
            raise

    def _path(self, sha256: str) -> str:
        return f"{self._root}/{sha256[:2]}/{sha256[2:4]}/{sha256}"


def digest(content: bytes) -> str:
    """Return the SHA-256 of bytes as hex."""
    return hashlib.sha256(content).hexdigest()


@contextmanager
def _archive_errors(what: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        raise ArchiveAway(f"archive: {what}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
