"""Find the pictures of an inspection and encode them again; nothing that a camera sent reaches a browser as it is."""

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import BoundedSemaphore, Lock

from qc_dashboard.archive.archive import Archive
from qc_dashboard.archive.blobs import digest
from qc_dashboard.archive.looks import look_of
from qc_dashboard.history.search import StoredInspection
from qc_dashboard.imaging.showing import upright_rgb
from qc_worker.domain.errors import TransportError
from qc_worker.imaging.opening import ImageLimits, opened
from qc_worker.ports.frames import FrameReader
from qc_worker.ports.results import HeatmapCache, HeatmapEntry

LARGE_PX, SMALL_PX = 2048, 512
JPEG_QUALITY = 88
DECODED_AT_ONCE = 2
"""Each decoding may take 20 bytes a pixel."""
PATIENCE_S = 10.0
"""Longest wait for a turn: to decode, or for the one connection that reads frames."""


@dataclass(frozen=True, slots=True)
class PictureSource:
    """Bytes of a picture as they were found, to be encoded again."""

    content: bytes
    longest_side_px: int

    @property
    def tag(self) -> str:
        """Return a name that changes with the picture."""
        return f"{digest(self.content)[:32]}-{self.longest_side_px}"


class Pictures:
    """Looks in the cache, then in the archive, then on the broker; threads may share it."""

    def __init__(
        self,
        *,
        cache: HeatmapCache | None,
        archive: Archive | None,
        frames: FrameReader | None,
        limits: ImageLimits,
    ) -> None:
        self._cache = cache
        self._archive = archive
        self._frames = frames
        self._limits = limits
        self._reading = Lock()
        self._decoding = BoundedSemaphore(DECODED_AT_ONCE)

    def frame(self, stored: StoredInspection, *, large: bool) -> PictureSource | None:
        """Find the frame; None if it is kept nowhere. Raises TransportError if a place that may have it is away."""
        size = LARGE_PX if large else SMALL_PX
        small = (lambda: self._cached(stored, "thumbnail_jpeg"), lambda: self._archived(stored, "thumbnail_sha256"))
        whole = (lambda: self._archived(stored, "frame_sha256"), lambda: self._on_broker(stored))
        # A thumbnail is better than nothing if the frame itself has gone.
        content = _first((*whole, *small) if large else (*small, *whole))
        return None if content is None else PictureSource(content, size)

    def heatmap(self, stored: StoredInspection) -> PictureSource | None:
        """Find the heatmap; None if it is kept nowhere. Raises TransportError if the archive is away."""
        content = _first(
            (lambda: self._cached(stored, "heatmap_png"), lambda: self._archived(stored, "heatmap_sha256"))
        )
        return None if content is None else PictureSource(content, LARGE_PX)

    def jpeg(self, source: PictureSource) -> bytes:
        """Encode as JPEG. Raises InvalidFrame, TransportError."""
        return self._encoded(source, "JPEG", quality=JPEG_QUALITY)

    def png(self, source: PictureSource) -> bytes:
        """Encode as PNG. Raises InvalidFrame, TransportError."""
        return self._encoded(source, "PNG", compress_level=3)

    def look(self, source: PictureSource) -> bytes | None:
        """Describe how the picture looks; None if it cannot be decoded. Raises TransportError."""
        with _turn(self._decoding):
            return look_of(source.content, self._limits)

    def _cached(self, stored: StoredInspection, what: str) -> bytes | None:
        key = stored.inspection.heatmap_key
        entry: HeatmapEntry | None = self._cache.get(key) if self._cache and key else None
        return getattr(entry, what, None)

    def _archived(self, stored: StoredInspection, what: str) -> bytes | None:
        evidence = self._archive.evidence(stored.source) if self._archive else None
        sha256: str | None = getattr(evidence, what, None)
        return self._archive.read(sha256) if self._archive and sha256 else None

    def _on_broker(self, stored: StoredInspection) -> bytes | None:
        if self._frames is None:
            return None
        with _turn(self._reading):
            record = self._frames.read(stored.source)
        return record.content if record is not None and record.content else None

    def _encoded(self, source: PictureSource, kind: str, **options: int) -> bytes:
        with _turn(self._decoding), opened(source.content, self._limits) as image:
            shown = upright_rgb(image, source.content, longest_side_px=source.longest_side_px)
            buffer = io.BytesIO()
            shown.save(buffer, kind, **options)
            return buffer.getvalue()


def _first(places: tuple[Callable[[], bytes | None], ...]) -> bytes | None:
    """Return what the first place has. Raises the failure of a place if no other one has it."""
    failure: TransportError | None = None
    for find in places:
        try:
            if content := find():
                return content
        except TransportError as error:
            failure = error
    if failure is not None:
        raise failure
    return None


@contextmanager
def _turn(lock: "Lock | BoundedSemaphore") -> Iterator[None]:
    if not lock.acquire(timeout=PATIENCE_S):
        raise TransportError("too many pictures are wanted at once")
    try:
        yield
    finally:
        lock.release()
