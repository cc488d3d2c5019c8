"""Read record batches so that no single record or batch can stop its partition.

kafka-python 3.0.12 raises from `poll` for a header name that is not UTF-8 and for a codec that is not installed, and
then spins in the next `poll` without an end, so that one hostile or merely odd producer would stop every line of a
partition. Here invalid bytes of a header's name are replaced, and what cannot be read at all arrives as a record that
says so: it becomes an `error` inspection, and its dead letter keeps the raw batch.

Batches whose checksum is wrong still raise: not even their offsets can be trusted.
"""

from collections.abc import Sequence
from typing import Any

import structlog
from kafka.errors import CorruptRecordError
from kafka.record.default_records import DefaultRecord, DefaultRecordBatch
from kafka.record.util import decode_varint

from qc_worker.transport.kafka import codecs
from qc_worker.transport.kafka_fixes.fix import NOT_REPORTED, Fix

log = structlog.get_logger()

Headers = list[tuple[str, bytes | None]]


class Unreadable(str):
    """Name the one header of a record that could not be read; the text says why.

    A type, because no producer can send one.
    """

    __slots__ = ()


def why_unreadable(headers: Sequence[tuple[str, bytes | None]] | None) -> str | None:
    """Return why a record could not be read; None for one that could."""
    return next((str(name) for name, _ in headers or () if isinstance(name, Unreadable)), None)


class TolerantRecordBatch(DefaultRecordBatch):  # type: ignore[misc]  # kafka-python has no types
    """Read message format v2 as kafka-python does, and return placeholders for what it cannot read."""

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
        """Return a record whose headers cannot be read as they should. Raises CorruptRecordError if all is broken."""
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
        """Return headers with names that need not be UTF-8; or the one that says that they are broken."""
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
        """Return a record in the place of one in a batch that cannot be opened; the first has the raw batch."""
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


def install(_original: Any) -> type[TolerantRecordBatch]:
    """Return the class that takes the original's place; it is the original's subclass."""
    return TolerantRecordBatch


FIX = Fix(
    defect="One record with a header name that is not UTF-8, or one batch that cannot be decompressed, stops its "
    "partition: every poll fails or hangs.",
    target="kafka.record.memory_records.DefaultRecordBatch",
    # Issue 541 reported the same symptom in 2016, and was closed because that parser was replaced.
    upstream=NOT_REPORTED,
    install=install,
    relies_on=(
        "kafka.record.default_records.DefaultRecordBatch.__next__",
        "kafka.record.default_records.DefaultRecordBatch._maybe_uncompress",
    ),
)
