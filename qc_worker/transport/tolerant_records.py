"""Record batches that no single record can spoil.

kafka-python 3.0.12 raises from `poll` for a header name that is not UTF-8 and for a codec that is not installed, and
then spins in the next `poll` for ever, so that one hostile or merely odd producer would stop every line of a partition.
Here such records arrive like any other, with a header that the wire layer refuses: they become `error` inspections.

Batches whose checksum is wrong still raise: of those not even the offsets can be trusted.
"""

import zlib

import structlog
from kafka.errors import CorruptRecordError, KafkaError
from kafka.record import memory_records
from kafka.record.default_records import DefaultRecord, DefaultRecordBatch
from kafka.record.util import decode_varint

log = structlog.get_logger()

UNREADABLE_HEADER = "unreadable-record"
UNREADABLE_HEADERS = [(UNREADABLE_HEADER, b"\xff")]
"""Not UTF-8, so no reader of headers accepts it."""
MAX_BATCH_BYTES = 256 * 1024 * 1024
"""What a compressed batch may unfold to; images hardly compress, so more is a bomb."""
GZIP_WINDOW = 16 + zlib.MAX_WBITS


def install() -> None:
    """Let kafka-python read with these batches, in this process; it offers no other way in."""
    memory_records.DefaultRecordBatch = TolerantRecordBatch


class TolerantRecordBatch(DefaultRecordBatch):  # type: ignore[misc]  # kafka-python has no types
    """Message format v2 as kafka-python reads it, but for the unreadable."""

    _buffer: bytearray
    _pos: int
    _opaque = False

    def __next__(self) -> DefaultRecord:
        if self._opaque:
            return self._next_placeholder()
        try:
            return super().__next__()
        except (CorruptRecordError, UnicodeDecodeError) as error:
            if self._next_record_index >= self._num_records:
                raise
            log.warning("record unreadable", offset=self.base_offset + self._next_record_index, error=str(error))
            return self._salvaged()

    def _maybe_uncompress(self) -> None:
        try:
            if not self._decompressed and self.compression_type == self.CODEC_GZIP:
                self._unzip()
            else:
                super()._maybe_uncompress()
        except (KafkaError, RuntimeError, ValueError, OSError, zlib.error) as error:
            log.warning("batch unreadable", offset=self.base_offset, records=self._num_records, error=str(error))
            self._opaque = True

    def _unzip(self) -> None:
        unfolding = zlib.decompressobj(GZIP_WINDOW)
        content = unfolding.decompress(memoryview(self._buffer)[self._pos :], MAX_BATCH_BYTES)
        if unfolding.unconsumed_tail:
            raise ValueError(f"the batch unfolds to more than {MAX_BATCH_BYTES} bytes")
        self._buffer, self._pos, self._decompressed = bytearray(content), 0, True

    def _salvaged(self) -> DefaultRecord:
        """Key and value of a record whose headers cannot be read. Raises CorruptRecordError if it is all broken."""
        # Record: length, attributes, timestamp delta, offset delta, key, value, headers; see KIP-98.
        length, start = decode_varint(self._buffer, self._pos)
        _, at = decode_varint(self._buffer, start)
        timestamp_delta, at = decode_varint(self._buffer, at)
        offset_delta, at = decode_varint(self._buffer, at)
        key, at = self._nullable_bytes(at)
        value, at = self._nullable_bytes(at)
        if not start <= at <= start + length <= len(self._buffer):
            raise CorruptRecordError(f"record {self._next_record_index} of the batch at {self.base_offset}")
        self._pos = start + length
        self._next_record_index += 1
        return self._record(offset_delta, self.first_timestamp + timestamp_delta, key, value)

    def _next_placeholder(self) -> DefaultRecord:
        """An empty record in the place of one inside a batch that cannot be opened."""
        if self._next_record_index >= self._num_records:
            raise StopIteration
        self._next_record_index += 1
        return self._record(self._next_record_index - 1, self.first_timestamp, None, b"")

    def _record(self, offset_delta: int, timestamp: int, key: bytes | None, value: bytes | None) -> DefaultRecord:
        headers = list(UNREADABLE_HEADERS)
        return DefaultRecord(
            len(value or b""), self.base_offset + offset_delta, timestamp, self.timestamp_type, key, value, headers
        )

    def _nullable_bytes(self, at: int) -> tuple[bytes | None, int]:
        length, at = decode_varint(self._buffer, at)
        return (bytes(self._buffer[at : at + length]), at + length) if length >= 0 else (None, at)
