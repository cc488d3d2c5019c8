"""Batches that kafka-python cannot read: placeholders for what is lost, everything else as it was."""

import gzip
import struct
import sys
from collections.abc import Callable

import cramjam
import lz4.frame
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from kafka.errors import CorruptRecordError
from kafka.record._crc32c import crc as crc32c
from kafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder
from kafka.record.memory_records import MemoryRecords

from qc_worker.transport.kafka import codecs
from qc_worker.transport.kafka_fixes import unreadable_records
from qc_worker.transport.kafka_fixes.unreadable_records import TolerantRecordBatch, why_unreadable
from tests.kafka_fixes.conftest import TakeOut

Pack = Callable[[bytes], bytes]

ATTRIBUTES_AT = 21
CRC_AT = 17
RECORDS_AT = DefaultRecordBatch.HEADER_STRUCT.size
XERIAL_BLOCK_BYTES = 32 * 1024


def snappy_block(content: bytes) -> bytes:
    return bytes(cramjam.snappy.compress_raw(content))


def xerial(content: bytes) -> bytes:
    """As Java clients write snappy."""
    blocks = [snappy_block(content[at : at + XERIAL_BLOCK_BYTES]) for at in range(0, len(content), XERIAL_BLOCK_BYTES)]
    head = codecs.XERIAL_MAGIC + struct.pack(">ii", 1, 1)
    return head + b"".join(struct.pack(">i", len(block)) + block for block in blocks)


def streamed_zstd(content: bytes) -> bytes:
    """Without the size of what it holds, as Java clients write it."""
    packer = zstandard.ZstdCompressor().compressobj()
    return packer.compress(content) + packer.flush()


PACKERS = [
    pytest.param(codecs.GZIP, gzip.compress, id="gzip"),
    pytest.param(codecs.SNAPPY, snappy_block, id="snappy"),
    pytest.param(codecs.SNAPPY, xerial, id="xerial"),
    pytest.param(codecs.LZ4, lz4.frame.compress, id="lz4"),
    pytest.param(codecs.ZSTD, zstandard.ZstdCompressor().compress, id="zstd"),
    pytest.param(codecs.ZSTD, streamed_zstd, id="zstd streamed"),
]


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


def packed(raw: bytearray, codec: int, pack: Pack) -> bytearray:
    """The same records, compressed by another's code."""
    head = raw[:RECORDS_AT]
    struct.pack_into(">h", head, ATTRIBUTES_AT, codec)
    return signed(head + pack(bytes(raw[RECORDS_AT:])))


def odd_header() -> bytearray:
    return batch("a", NotUtf8("b"), "c")


def damaged_batch() -> bytearray:
    """Claim to be compressed with gzip."""
    raw = batch("a", "b", "c")
    struct.pack_into(">h", raw, ATTRIBUTES_AT, codecs.GZIP)
    return signed(raw)


def offsets_read(raw: bytearray) -> list[int]:
    """Read a broker's answer as a consumer does."""
    return [record.offset for record in MemoryRecords(bytes(raw)).next_batch()]


@pytest.mark.parametrize(("make", "error"), [(odd_header, CorruptRecordError), (damaged_batch, gzip.BadGzipFile)])
@pytest.mark.xfail(strict=True, raises=AssertionError, reason="if it passes, kafka-python reads on after a bad record")
def test_the_defect_is_still_there(take_out: TakeOut, make: Callable[[], bytearray], error: type[Exception]) -> None:
    take_out(unreadable_records.FIX)
    try:
        offsets = offsets_read(make())
    except error:
        offsets = []
    assert offsets == [0, 1, 2]


@pytest.mark.parametrize("make", [odd_header, damaged_batch])
def test_the_fix_holds_every_record_has_its_place(make: Callable[[], bytearray]) -> None:
    assert offsets_read(make()) == [0, 1, 2]


def test_readable_batches_read_as_ever() -> None:
    raw = batch("a", "b")
    ours = [(record.offset, record.key, record.value, record.headers) for record in TolerantRecordBatch(raw)]
    theirs = [(record.offset, record.key, record.value, record.headers) for record in DefaultRecordBatch(raw)]
    assert ours == theirs


def test_header_whose_name_is_not_utf8_is_read_as_well_as_it_can_be() -> None:
    records = list(TolerantRecordBatch(batch("a", NotUtf8("b"), "c")))
    assert [record.offset for record in records] == [0, 1, 2]
    assert [record.value for record in records] == [b"value 0", b"value 1", b"value 2"]
    assert [record.headers for record in records] == [[("a", b"x")], [("\ufffd\ufffd", b"x")], [("c", b"x")]]
    assert (records[1].key, records[1].timestamp) == (b"key", 1_700_000_000_001)


def test_broken_headers_cost_neither_key_and_value_nor_the_neighbours() -> None:
    raw = batch("a", "b", "c")
    at = raw.index(b"value 1") + len(b"value 1")
    raw[at] = 0x7E  # a count of 63 headers where there is one
    records = list(TolerantRecordBatch(signed(raw)))
    assert [record.value for record in records] == [b"value 0", b"value 1", b"value 2"]
    assert [why_unreadable(record.headers) for record in records] == [None, "the record's headers are broken", None]


def test_batch_that_cannot_be_unfolded_becomes_placeholders_and_the_first_keeps_it() -> None:
    raw = batch("a", "b", "c")
    struct.pack_into(">h", raw, ATTRIBUTES_AT, codecs.SNAPPY)
    opaque = TolerantRecordBatch(signed(raw))
    assert opaque.validate_crc()
    records = list(opaque)
    assert [record.offset for record in records] == [0, 1, 2]
    assert [record.value for record in records] == [bytes(raw), b"", b""]
    reasons = [why_unreadable(record.headers) or "" for record in records]
    assert all(reason.startswith("snappy: ") for reason in reasons)
    assert [reason.endswith("; the raw batch is in the dead letter of offset 0") for reason in reasons] == [
        False,
        True,
        True,
    ]


def test_producer_cannot_claim_that_a_record_was_unreadable() -> None:
    (read,) = TolerantRecordBatch(batch("Unreadable"))
    assert why_unreadable(read.headers) is None


@pytest.mark.parametrize(("codec", "pack"), PACKERS)
@given(values=st.lists(st.binary(max_size=2_000), min_size=1, max_size=20))
def test_every_codec_is_read(codec: int, pack: Pack, values: list[bytes]) -> None:
    builder = DefaultRecordBatchBuilder(2, 0, False, -1, -1, -1, 1_000_000)
    for offset, value in enumerate(values):
        builder.append(offset, 1_700_000_000_000, b"key", value, [])
    assert [record.value for record in TolerantRecordBatch(packed(bytearray(builder.build()), codec, pack))] == values


@pytest.mark.parametrize(("codec", "pack"), PACKERS)
def test_bomb_is_not_unfolded(codec: int, pack: Pack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codecs, "MAX_BATCH_BYTES", 100_000)
    raw = batch("a", "b")
    bomb = packed(raw[:RECORDS_AT] + bytes(10_000_000), codec, pack)
    reasons = [why_unreadable(record.headers) for record in TolerantRecordBatch(bomb)]
    assert reasons[0] == "the batch unfolds to more than 100000 bytes"
    assert len(reasons) == 2


@pytest.mark.parametrize(("codec", "pack"), PACKERS)
@given(cut=st.integers(0, 200), flipped=st.integers(0, 200))
def test_damaged_batch_is_read_or_said_to_be_unreadable(codec: int, pack: Pack, cut: int, flipped: int) -> None:
    content = bytearray(pack(bytes(range(256)) * 3))
    content[flipped % len(content)] ^= 0x55
    try:
        codecs.unfold(codec, memoryview(bytes(content[: len(content) - cut % len(content)])))
    except codecs.Unreadable:
        return
    assert codec != codecs.GZIP or not cut % len(content)  # which ends with a checksum and the length


def test_codec_without_its_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lz4.frame", None)
    assert codecs.missing_codecs() == ("lz4",)
    with pytest.raises(codecs.Unreadable, match=r"codec lz4 is not installed here: pip install lz4$"):
        codecs.unfold(codecs.LZ4, memoryview(b"x"))


def test_wrong_checksum_is_still_noticed() -> None:
    raw = batch("a")
    raw[-1] ^= 1
    assert not TolerantRecordBatch(raw).validate_crc()
