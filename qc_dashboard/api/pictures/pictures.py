"""Find the pictures of an inspection and encode them again; nothing that a camera sent reaches a browser as it is."""

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import BoundedSemaphore, Lock

import numpy as np
from PIL import Image, ImageFile

from qc_dashboard.archive.archive import Archive
from qc_dashboard.archive.blobs import digest
from qc_dashboard.history.search import StoredInspection
from qc_worker.domain.errors import InvalidFrame, TransportError
from qc_worker.imaging.aspect import FULL_DEPTH
from qc_worker.imaging.bit_depth import bits_needed, depth_for
from qc_worker.imaging.opening import UPRIGHT, ImageLimits, opened, orientation_of
from qc_worker.imaging.pixel_modes import eight_bit_strips
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
            shown = _shown(image, source)
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


def _shown(image: ImageFile.ImageFile, source: PictureSource) -> Image.Image:
    """Decode to 8-bit RGB, upright, with sides of at most `longest_side_px`: pixels alone, no metadata."""
    side = source.longest_side_px
    if image.format in ("JPEG", "MPO"):
        image.draft(None, (side, side))  # large ones at a half, quarter or eighth of their size: far cheaper
    depth = _depth(image, source.content)
    image.load()
    strips = list(eight_bit_strips(image, bit_depth=depth))
    pixels = np.concatenate(strips)
    mode = "L" if pixels.shape[-1] == 1 else "RGBX"
    raw = np.ascontiguousarray(pixels[..., 0] if mode == "L" else pixels)
    whole = Image.frombuffer(mode, (pixels.shape[1], pixels.shape[0]), raw, "raw", mode, 0, 1).convert("RGB")
    whole.thumbnail((side, side), Image.Resampling.BILINEAR)
    orientation = orientation_of(image)
    return whole.transpose(UPRIGHT[orientation]) if orientation in UPRIGHT else whole


def _depth(image: ImageFile.ImageFile, content: bytes) -> int:
    """Find out how many bits hold the brightness of this very picture: the line's depth is not known here."""
    try:
        bits = bits_needed(image, content)
    except InvalidFrame:  # colour that is aligned right; it is shown as dark as it is
        return FULL_DEPTH
    return FULL_DEPTH if bits is None else depth_for(bits)


@contextmanager
def _turn(lock: "Lock | BoundedSemaphore") -> Iterator[None]:
    if not lock.acquire(timeout=PATIENCE_S):
        raise TransportError("too many pictures are wanted at once")
    try:
        yield
    finally:
        lock.release()
