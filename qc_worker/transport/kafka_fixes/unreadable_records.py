"""Record batches that no single record can spoil.

kafka-python 3.0.12 raises from `poll` for a header name that is not UTF-8 and for a codec that is not installed, and
then spins in the next `poll` for ever, so that one hostile or merely odd producer would stop every line of a partition.
Here a header's odd name is read as well as it can be, and what cannot be read at all arrives as a record that says so:
it becomes an `error` inspection, and its dead letter keeps the raw batch.

Batches whose checksum is wrong still raise: of those not even the offsets can be trusted.
"""

from collections.abc import Sequence

import structlog
from kafka.errors import CorruptRecordError
from kafka.record import memory_records
from kafka.record.default_records import DefaultRecord, DefaultRecordBatch
from kafka.record.util import decode_varint

from qc_worker.transport.kafka import codecs

log = structlog.get_logger()

Headers = list[tuple[str, bytes | None]]


def install() -> None:
    """Let kafka-python read with these batches, in this process; it offers no other way in."""
    memory_records.DefaultRecordBatch = TolerantRecordBatch


class Unreadable(str):
    """The name of the one header of a record that could not be read; its text says why.

    A type, because no producer can send one.
    """

    __slots__ = ()


def why_unreadable(headers: Sequence[tuple[str, bytes | None]] | None) -> str | None:
    """Why a record that was read here could not be; None for one that could."""
    return next((str(name) for name, _ in headers or () if isinstance(name, Unreadable)), None)


class TolerantRecordBatch(DefaultRecordBatch):  # type: ignore[misc]  # kafka-python has no types
    """Message format v2 as kafka-python reads it, but for the unreadable."""

    _buffer: bytearray
    _pos: int
    _decompressed: bool
    _opaque: str | None = None

    def __next__(self) -> DefaultRecord:
        if self._opaque is not None:
            return self._next_placeholder(self._opaque)
        try:
            return super().__next__()
        except (CorruptRecordError, UnicodeDecodeError):
            if self._next_record_index >= self._num_records:
                raise
            return self._salvaged()

    def _maybe_uncompress(self) -> None:
        if self._decompressed or self.compression_type == self.CODEC_NONE:
            self._decompressed = True
            return
        try:
            unfolded = codecs.unfold(self.compression_type, memoryview(self._buffer)[self._pos :])
        except codecs.Unreadable as error:
            log.warning("batch unreadable", offset=self.base_offset, records=self._num_records, error=str(error))
            self._opaque = str(error)
        else:
            self._buffer, self._pos = bytearray(unfolded), 0
        self._decompressed = True

    def _salvaged(self) -> DefaultRecord:
        """A record whose headers cannot be read as they should. Raises CorruptRecordError if it is all broken."""
        # Record: length, attributes, timestamp delta, offset delta, key, value, headers; see KIP-98.
        length, start = decode_varint(self._buffer, self._pos)
        _, at = decode_varint(self._buffer, start)
        timestamp_delta, at = decode_varint(self._buffer, at)
        offset_delta, at = decode_varint(self._buffer, at)
        key, at = self._nullable_bytes(at)
        value, at = self._nullable_bytes(at)
        end = start + length
        if not start <= at <= end <= len(self._buffer):
            raise CorruptRecordError(f"record {self._next_record_index} of the batch at {self.base_offset}")
        headers = self._headers(at, end)
        self._pos = end
        self._next_record_index += 1
        timestamp = self.first_timestamp + timestamp_delta
        return self._record(offset_delta, timestamp, key, value, headers)

    def _headers(self, at: int, end: int) -> Headers:
        """Headers with names that need not be UTF-8; or the one that says that they are broken."""
        headers: Headers = []
        try:
            count, at = decode_varint(self._buffer, at)
            for _ in range(count):
                name, at = self._nullable_bytes(at)
                value, at = self._nullable_bytes(at)
                headers.append(((name or b"").decode(errors="replace"), value))
                if at > end:
                    break
        except (IndexError, ValueError):
            at = -1
        if at == end:
            return headers
        log.warning("record unreadable", offset=self.base_offset + self._next_record_index)
        return [(Unreadable("the record's headers are broken"), None)]

    def _next_placeholder(self, reason: str) -> DefaultRecord:
        """A record in the place of one inside a batch that cannot be opened; the first has the raw batch."""
        if self._next_record_index >= self._num_records:
            raise StopIteration
        index = self._next_record_index
        self._next_record_index += 1
        where = "" if index == 0 else f"; the raw batch is in the dead letter of offset {self.base_offset}"
        raw = bytes(self._buffer) if index == 0 else b""
        return self._record(index, self.first_timestamp, None, raw, [(Unreadable(reason + where), None)])

    def _record(
        self, offset_delta: int, timestamp: int, key: bytes | None, value: bytes | None, headers: Headers
    ) -> DefaultRecord:
        offset = self.base_offset + offset_delta
        return DefaultRecord(len(value or b""), offset, timestamp, self.timestamp_type, key, value, headers)

    def _nullable_bytes(self, at: int) -> tuple[bytes | None, int]:
        length, at = decode_varint(self._buffer, at)
        return (bytes(self._buffer[at : at + length]), at + length) if length >= 0 else (None, at)
