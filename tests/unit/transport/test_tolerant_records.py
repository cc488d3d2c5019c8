"""Batches that kafka-python cannot read: placeholders for what is lost, everything else as it was."""

import struct
import zlib

import pytest
from kafka.record._crc32c import crc as crc32c
from kafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder

from qc_worker.transport import tolerant_records
from qc_worker.transport.tolerant_records import UNREADABLE_HEADERS, TolerantRecordBatch

ATTRIBUTES_AT = 21
CRC_AT = 17
RECORDS_AT = DefaultRecordBatch.HEADER_STRUCT.size
SNAPPY = 2


class NotUtf8(str):
    def encode(self, *_: object) -> bytes:
        return b"\xff\xfe"


def batch(*header_names: str, codec: int = 0) -> bytearray:
    """One record for each header name."""
    builder = DefaultRecordBatchBuilder(2, codec, False, -1, -1, -1, 1_000_000)
    for offset, name in enumerate(header_names):
        builder.append(offset, 1_700_000_000_000 + offset, b"key", b"value %d" % offset, [(name, b"x")])
    return bytearray(builder.build())


def signed(raw: bytearray) -> bytearray:
    """With a checksum that fits."""
    struct.pack_into(">i", raw, 8, len(raw) - 12)
    struct.pack_into(">I", raw, CRC_AT, crc32c(bytes(raw[ATTRIBUTES_AT:])))
    return raw


def test_readable_batches_read_as_ever() -> None:
    raw = batch("a", "b")
    ours = [(record.offset, record.key, record.value, record.headers) for record in TolerantRecordBatch(raw)]
    theirs = [(record.offset, record.key, record.value, record.headers) for record in DefaultRecordBatch(raw)]
    assert ours == theirs


def test_record_with_an_unreadable_header_keeps_key_value_time_and_neighbours() -> None:
    records = list(TolerantRecordBatch(batch("a", NotUtf8("b"), "c")))
    assert [record.offset for record in records] == [0, 1, 2]
    assert [record.value for record in records] == [b"value 0", b"value 1", b"value 2"]
    assert [record.headers for record in records] == [[("a", b"x")], UNREADABLE_HEADERS, [("c", b"x")]]
    assert (records[1].key, records[1].timestamp) == (b"key", 1_700_000_000_001)


def test_batch_in_a_codec_that_is_not_installed_becomes_placeholders() -> None:
    raw = batch("a", "b", "c")
    struct.pack_into(">h", raw, ATTRIBUTES_AT, SNAPPY)
    opaque = TolerantRecordBatch(signed(raw))
    assert opaque.validate_crc()
    records = list(opaque)
    assert [record.offset for record in records] == [0, 1, 2]
    assert {(record.key, record.value) for record in records} == {(None, b"")}
    assert all(record.headers == UNREADABLE_HEADERS for record in records)


def test_gzip_is_read() -> None:
    assert [record.value for record in TolerantRecordBatch(batch("a", "b", codec=1))] == [b"value 0", b"value 1"]


def test_gzip_bomb_is_not_unfolded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tolerant_records, "MAX_BATCH_BYTES", 100_000)
    raw = batch("a", "b")
    struct.pack_into(">h", raw, ATTRIBUTES_AT, 1)
    packer = zlib.compressobj(wbits=31)
    bomb = signed(raw[:RECORDS_AT] + packer.compress(bytes(10_000_000)) + packer.flush())
    assert [record.headers for record in TolerantRecordBatch(bomb)] == [UNREADABLE_HEADERS] * 2


def test_wrong_checksum_is_still_noticed() -> None:
    raw = batch("a")
    raw[-1] ^= 1
    assert not TolerantRecordBatch(raw).validate_crc()
