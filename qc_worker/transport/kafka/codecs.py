"""Decompresses record batches within a limit.

kafka-python 3.0.12 decompresses whatever a batch claims to hold: 17 MiB may become gigabytes, and the process is
killed. This module reads every codec of Kafka, and none beyond MAX_BATCH_BYTES.
"""

import struct
import zlib
from collections.abc import Callable, Mapping
from importlib import import_module
from types import MappingProxyType

MAX_BATCH_BYTES = 256 * 1024 * 1024
"""Limit of a decompressed batch; images hardly compress, so more is a decompression bomb."""
PIECE_BYTES = 1024 * 1024
GZIP_WINDOW = 16 + zlib.MAX_WBITS
ZSTD_WINDOW_BYTES = 128 * 1024 * 1024
"""The largest window that Kafka's own clients write."""
XERIAL_MAGIC = b"\x82SNAPPY\x00"
"""Java clients wrap blocks of snappy in a format of their own: magic, two versions, then blocks after their lengths."""
XERIAL_HEADER_BYTES = 16

GZIP, SNAPPY, LZ4, ZSTD = 1, 2, 3, 4
PACKAGES: Mapping[str, str] = MappingProxyType({"snappy": "cramjam", "lz4": "lz4.frame", "zstd": "zstandard"})


class Unreadable(ValueError):
    """A batch that cannot be decompressed; says why."""


def missing_codecs() -> tuple[str, ...]:
    """List the codecs whose package is not installed; frames in those cannot be read."""
    return tuple(codec for codec, package in PACKAGES.items() if not _is_there(package))


def unfold(codec: int, content: memoryview) -> bytes:
    """Decompress a batch's records. Raises Unreadable: damaged, too large, unknown codec or no package for it."""
    if codec not in _UNFOLD:
        raise Unreadable(f"codec {codec} is none of Kafka's")
    name, read = _UNFOLD[codec]
    try:
        return read(content)
    except Unreadable:
        raise
    except ImportError as error:
        package = (error.name or name).partition(".")[0]
        raise Unreadable(f"codec {name} is not installed here: pip install {package}") from None
    except Exception as error:  # noqa: BLE001  (each package has errors of its own, RuntimeError and plain Exception)
        raise Unreadable(f"{name}: {error}") from None


def _is_there(package: str) -> bool:
    try:
        import_module(package)
    except ImportError:
        return False
    return True


def _gzip(content: memoryview) -> bytes:
    pieces: list[bytes] = []
    room, rest = MAX_BATCH_BYTES, bytes(content)
    while rest:
        member = zlib.decompressobj(GZIP_WINDOW)
        pieces.append(member.decompress(rest, room + 1))
        room -= len(pieces[-1])
        _check_room(room)
        if not member.eof:
            raise Unreadable("gzip: the batch ends too early")
        rest = member.unused_data
    return b"".join(pieces)


def _snappy(content: memoryview) -> bytes:
    if bytes(content[: len(XERIAL_MAGIC)]) != XERIAL_MAGIC:
        return _snappy_block(content, MAX_BATCH_BYTES)
    pieces: list[bytes] = []
    room, at = MAX_BATCH_BYTES, XERIAL_HEADER_BYTES
    while at < len(content):
        (length,) = struct.unpack_from(">i", content, at)
        start, at = at + 4, at + 4 + length
        if length < 0 or at > len(content):
            raise Unreadable("snappy: the batch ends too early")
        pieces.append(_snappy_block(content[start:at], room))
        room -= len(pieces[-1])
    return b"".join(pieces)


def _snappy_block(block: memoryview, room: int) -> bytes:
    from cramjam import snappy  # noqa: PLC0415  (a slim installation may lack it, and then only its batches are lost)

    _check_room(room - snappy.decompress_raw_len(block))
    return bytes(snappy.decompress_raw(block))


def _lz4(content: memoryview) -> bytes:
    from lz4.frame import LZ4FrameDecompressor  # noqa: PLC0415

    frame = LZ4FrameDecompressor()
    unfolded: bytes = frame.decompress(content, max_length=MAX_BATCH_BYTES + 1)
    _check_room(MAX_BATCH_BYTES - len(unfolded))
    if not frame.eof:
        raise Unreadable("lz4: the batch ends too early")
    return unfolded


def _zstd(content: memoryview) -> bytes:
    from zstandard import ZstdDecompressor  # noqa: PLC0415

    pieces: list[bytes] = []
    room = MAX_BATCH_BYTES
    with ZstdDecompressor(max_window_size=ZSTD_WINDOW_BYTES).stream_reader(content, read_across_frames=True) as reader:
        while piece := reader.read(PIECE_BYTES):
            pieces.append(piece)
            room -= len(piece)
            _check_room(room)
    return b"".join(pieces)


def _check_room(room: int) -> None:
    if room < 0:
        raise Unreadable(f"the batch unfolds to more than {MAX_BATCH_BYTES} bytes")


_UNFOLD: Mapping[int, tuple[str, Callable[[memoryview], bytes]]] = MappingProxyType(
    {GZIP: ("gzip", _gzip), SNAPPY: ("snappy", _snappy), LZ4: ("lz4", _lz4), ZSTD: ("zstd", _zstd)}
)
