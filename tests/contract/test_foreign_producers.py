"""What producers in other languages send: every codec on every topic, batches that cannot be read, odd headers.

librdkafka is under the clients of C, C++, .NET, Go and Node; its way of writing is not kafka-python's.
"""

import struct
from collections.abc import Iterator
from time import monotonic

import confluent_kafka
import pytest
from kafka import KafkaAdminClient
from kafka.record._crc32c import crc as crc32c

from qc_worker.domain.errors import InvalidFrame, Reason
from qc_worker.domain.frame import Record
from qc_worker.transport.kafka import codecs
from qc_worker.transport.kafka.books import KafkaBooks
from qc_worker.transport.kafka.connecting.access import open_client
from qc_worker.transport.kafka.group.frame_source import KafkaFrameSource
from qc_worker.transport.kafka.group.group_member import GroupMember
from qc_worker.transport.kafka.topics import TopicState, check_topics
from qc_worker.transport.kafka_fixes.unreadable_records import TolerantRecordBatch
from qc_worker.wire.images import decode_record
from qc_worker.wire.json_types import encode_feedback, encode_inspection, encode_release
from tests.conftest import eventually, unique
from tests.contract.frame_sources import joined, poll_records
from tests.contract.rigs import KafkaRig, feedback, frame, outcome, release, topic_plans

pytestmark = pytest.mark.apache_only
CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]
IMAGE = bytes(range(256)) * 400
"""It compresses, as bitmaps do; what a client cannot make smaller it may send as it is."""


@pytest.fixture(params=CODECS)
def foreign(request: pytest.FixtureRequest, kafka_rig: KafkaRig) -> Iterator[confluent_kafka.Producer]:
    producer = confluent_kafka.Producer(
        {
            "bootstrap.servers": kafka_rig.access.bootstrap_servers,
            "compression.type": request.param,
            "linger.ms": 50,
            "message.max.bytes": 16_000_000,
        }
    )
    yield producer
    assert producer.flush(20) == 0


def test_frames_of_every_codec_are_read(foreign: confluent_kafka.Producer, kafka_rig: KafkaRig) -> None:
    for number in range(5):
        headers: list[tuple[str, str | bytes | None]] = [
            ("line", b"A"),
            ("camera", b"cam1"),
            ("operator", "Jürgen".encode("latin-1")),
        ]
        foreign.produce(kafka_rig.topics.images, IMAGE + bytes([number]), b"A/cam1", partition=0, headers=headers)
    foreign.flush(20)
    records = poll_records(joined(kafka_rig, unique("group")), 5)
    assert [record.content for record in records] == [IMAGE + bytes([number]) for number in range(5)]
    assert [decode_record(record).line for record in records] == ["A"] * 5


def test_releases_of_every_codec_are_read(foreign: confluent_kafka.Producer, kafka_rig: KafkaRig) -> None:
    follower = kafka_rig.release_log()
    assert follower.read_all() == {}
    for version in ("v1", "v2"):
        foreign.produce(kafka_rig.topics.models, encode_release(release("A", version)), b"A")
    foreign.flush(20)
    assert kafka_rig.release_log().read_all() == {"A": release("A", "v2")}
    assert eventually(lambda: release("A", "v2") in follower.poll(timeout_s=0.5), timeout_s=10)


def test_feedback_of_every_codec_is_read(foreign: confluent_kafka.Producer, kafka_rig: KafkaRig) -> None:
    foreign.produce(kafka_rig.topics.feedback, encode_feedback(feedback("f1")), b"A")
    foreign.flush(20)
    source = kafka_rig.feedback_source(unique("trainer"))
    assert eventually(lambda: source.poll(timeout_s=0.5), timeout_s=20) == [feedback("f1")]


def test_inspections_of_every_codec_are_read(foreign: confluent_kafka.Producer, kafka_rig: KafkaRig) -> None:
    """Dashboards are others' programs, but `account` and `threshold` read `results`, whatever a topic's codec is."""
    inspection = outcome(frame(kafka_rig, b"x")).inspection
    foreign.produce(kafka_rig.topics.results, encode_inspection(inspection), b"A/cam1")
    foreign.flush(20)
    assert kafka_rig.recent_inspections().last("A", 10) == [inspection]
    books = KafkaBooks(kafka_rig.access)
    kafka_rig.closing(books.close)
    assert [r.unreadable for r in books.read(books.oldest(kafka_rig.topics.results))] == [None]


@pytest.mark.parametrize("codec", CODECS[1:])
def test_codec_of_a_topic_is_no_matter(codec: str, kafka_rig: KafkaRig) -> None:
    """The broker packs anew what producers send."""
    admin = open_client(KafkaAdminClient, kafka_rig.access)
    topic = unique("images")
    admin.create_topics({topic: {"num_partitions": 1, "replication_factor": 1, "configs": {"compression.type": codec}}})
    admin.close()
    source = KafkaFrameSource(
        GroupMember(kafka_rig.access, topic=topic, group=unique("group"), max_frame_bytes=1 << 20)
    )
    kafka_rig.closing(source.close)
    eventually(lambda: _sent(kafka_rig, topic), timeout_s=20)
    source.start()
    assert [record.content for record in poll_records(source, 1)] == [IMAGE]


def test_batch_that_cannot_be_read_is_kept_raw(kafka_rig: KafkaRig, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the codec's package is not installed."""
    monkeypatch.setattr(codecs, "_UNFOLD", {})
    producer = confluent_kafka.Producer(
        {"bootstrap.servers": kafka_rig.access.bootstrap_servers, "compression.type": "lz4", "linger.ms": 500}
    )
    for number in range(3):
        producer.produce(kafka_rig.topics.images, IMAGE + bytes([number]), b"A/cam1", partition=0)
    producer.produce(kafka_rig.topics.models, encode_release(release("A", "v1")) * 20, b"A")
    assert producer.flush(20) == 0
    records = poll_records(joined(kafka_rig, unique("group")), 3)
    assert [_reason(record) for record in records] == [Reason.UNREADABLE] * 3
    assert [bool(record.content) for record in records] == [True, False, False]
    monkeypatch.undo()
    assert _values(records[0].content) == [IMAGE + bytes([number]) for number in range(3)]


def test_release_that_cannot_be_read_counts_as_refused(kafka_rig: KafkaRig, monkeypatch: pytest.MonkeyPatch) -> None:
    releases = kafka_rig.release_log()
    releases.announce(release("A", "v1"))
    producer = confluent_kafka.Producer(
        {"bootstrap.servers": kafka_rig.access.bootstrap_servers, "compression.type": "zstd"}
    )
    producer.produce(kafka_rig.topics.models, encode_release(release("A", "v2")) + b" " * 10_000, b"A")
    assert producer.flush(20) == 0
    monkeypatch.setattr(codecs, "_UNFOLD", {})
    assert releases.read_all() == {"A": release("A", "v1")}
    assert releases.refused == 1


def test_topics_say_which_codec_is_missing(kafka_rig: KafkaRig, monkeypatch: pytest.MonkeyPatch) -> None:
    admin = open_client(KafkaAdminClient, kafka_rig.access)
    plan = topic_plans(type(kafka_rig.topics)())[0]
    settings = {**plan.settings, "compression.type": "zstd"}
    admin.create_topics({plan.name: {"num_partitions": 2, "replication_factor": 1, "configs": settings}})
    admin.close()
    monkeypatch.setattr("qc_worker.transport.kafka.topics.missing_codecs", lambda: ("zstd",))
    (report,) = eventually(
        lambda: [one for one in check_topics(kafka_rig.access, [plan]) if one.state is not TopicState.MISSING],
        timeout_s=10,
    )
    assert report.differences == (
        "compression.type is zstd, whose package is not installed here: nothing of it can be read",
    )
    assert report.remedies == ("pip install zstandard",)


def test_partitions_that_are_added_are_taken_up(kafka_rig: KafkaRig) -> None:
    source = KafkaFrameSource(
        GroupMember(
            kafka_rig.access,
            topic=kafka_rig.topics.images,
            group=unique("group"),
            max_frame_bytes=1 << 20,
            metadata_max_age_ms=1_000,
        )
    )
    kafka_rig.closing(source.close)
    source.start()
    eventually(lambda: source.poll(timeout_s=0.2, max_records=1) or source.assignment(), timeout_s=30)
    admin = open_client(KafkaAdminClient, kafka_rig.access)
    admin.create_partitions({kafka_rig.topics.images: 4})
    admin.close()
    producer = confluent_kafka.Producer({"bootstrap.servers": kafka_rig.access.bootstrap_servers})
    producer.produce(kafka_rig.topics.images, b"x", b"A/cam1", partition=3)
    assert producer.flush(20) == 0
    began_s = monotonic()
    assert [record.position.partition for record in poll_records(source, 1)] == [3]
    assert monotonic() - began_s < 15


def _sent(rig: KafkaRig, topic: str) -> bool:
    producer = confluent_kafka.Producer({"bootstrap.servers": rig.access.bootstrap_servers})
    producer.produce(topic, IMAGE, b"A/cam1")
    return producer.flush(10) == 0


def _reason(record: Record) -> Reason | None:
    try:
        decode_record(record)
    except InvalidFrame as error:
        return error.reason
    return None


def _values(raw: bytes) -> list[bytes]:
    """What anyone with the codec finds in a raw batch."""
    assert struct.unpack_from(">I", raw, 17)[0] == crc32c(raw[21:])
    return [record.value for record in TolerantRecordBatch(bytearray(raw))]
