"""Make the frames of a soak: ordinary ones, bursts near the byte limit, and some that cannot be decoded."""

import io
from dataclasses import dataclass, field
from math import isqrt

import numpy as np
from PIL import Image

from benchmarks.harness.load import simulated_frames

FULL_SHARE = 0.98
"""Share of the largest allowed frame to aim at: encoders cannot hit a size exactly without many attempts."""
SAMPLE_SIDE_PX = 512
PNG_FAST = 1
"""zlib level; higher levels do not compress noise better."""
BURST_STARTS_AT = 100
UNDECODABLE_EVERY = 150
BAD_BYTES = 29_000


@dataclass(slots=True)
class FrameMix:
    """Frames of a soak by number; kinds come in the same order in every run."""

    max_frame_bytes: int
    max_frame_pixels: int
    burst_frames: int
    """Number of big frames in a row; the last one cannot be decoded."""
    burst_every: int
    """Number of frames from the start of one burst to the start of the next."""
    _ordinary: list[bytes] = field(init=False)
    _big: list[bytes] = field(init=False)
    _bad: bytes = field(init=False)
    _big_bad: bytes = field(init=False)

    def __post_init__(self) -> None:
        self._ordinary = list(simulated_frames())
        limit_bytes = int(FULL_SHARE * self.max_frame_bytes)
        self._big = [
            _noise(limit_bytes, self.max_frame_pixels, mode="RGB", kind="PNG", levels=256),
            _noise(limit_bytes, self.max_frame_pixels, mode="RGB", kind="JPEG", levels=256),
            _noise(limit_bytes, self.max_frame_pixels, mode="L", kind="PNG", levels=12),  # few bytes, many pixels
        ]
        self._bad = np.random.default_rng(1).bytes(BAD_BYTES)
        self._big_bad = np.random.default_rng(2).bytes(limit_bytes)

    @property
    def biggest_bytes(self) -> int:
        return max(map(len, self._big))

    @property
    def ordinary_bytes(self) -> float:
        return sum(map(len, self._ordinary)) / len(self._ordinary)

    def is_big(self, number: int) -> bool:
        return 0 <= number % self.burst_every - BURST_STARTS_AT < self.burst_frames

    def is_bad(self, number: int) -> bool:
        if self.is_big(number):
            return number % self.burst_every - BURST_STARTS_AT == self.burst_frames - 1
        return number % UNDECODABLE_EVERY == UNDECODABLE_EVERY - 1

    def content(self, number: int) -> bytes:
        if self.is_big(number):
            return self._big_bad if self.is_bad(number) else self._big[number % len(self._big)]
        return self._bad if self.is_bad(number) else self._ordinary[number % len(self._ordinary)]


def _noise(max_bytes: int, max_pixels: int, *, mode: str, kind: str, levels: int) -> bytes:
    """Encode the largest square image of noise within both limits, to about 1 %."""
    sample_bytes = len(_encoded(SAMPLE_SIDE_PX, mode, kind, levels))
    pixels = min(max_pixels, max_bytes * SAMPLE_SIDE_PX**2 // sample_bytes)
    while len(content := _encoded(isqrt(pixels), mode, kind, levels)) > max_bytes:
        pixels = int(0.99 * pixels)
    return content


def _encoded(side_px: int, mode: str, kind: str, levels: int) -> bytes:
    shape = (side_px, side_px, 3) if mode == "RGB" else (side_px, side_px)
    noise = np.random.default_rng(0).integers(0, levels, shape, dtype=np.uint8)
    encoded = io.BytesIO()
    options = {"quality": 95} if kind == "JPEG" else {"compress_level": PNG_FAST}
    Image.fromarray(noise * np.uint8(255 // (levels - 1))).save(encoded, kind, **options)
    return encoded.getvalue()
