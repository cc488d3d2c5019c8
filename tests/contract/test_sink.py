"""InspectionSink: published in order, then committed; or neither."""

from collections.abc import Iterator
from contextlib import ExitStack
from threading import active_count

import pytest

from qc_worker.domain.errors import Reason, TransportError
from qc_worker.domain.frame import Offsets, Partition, Position
from qc_worker.domain.inspection import DeadLetter
from qc_worker.embedded.services import EmbeddedBroker
from qc_worker.transport.kafka.at_least_once import AtLeastOnceSink
from qc_worker.transport.kafka.connecting.access import KafkaAccess
from qc_worker.transport.kafka.topics import ensure_topics
from qc_worker.transport.memory.broker import MemoryBroker
from qc_worker.transport.memory.results import MemorySink
from qc_worker.transport.outgoing import OutgoingRecord
from qc_worker.wire.json_types import decode_inspection
from tests.conftest import started
from tests.contract.rigs import CommittingTo, Rig, Topics, frame, outcome, topic_plans

PARTITION = Partition("images", 0)


def letter(source: Position, content: bytes) -> DeadLetter:
    return DeadLetter(
        source=source,
        key=b"\x00any key",
        content=content,
        headers=(("Line", b"A"), ("binary", b"\xff\xfe"), ("line", b"B")),
        reason=Reason.UNDECODABLE,
        detail="cannot identify image file",
    )


def test_inspections_keep_their_order_per_camera(rig: Rig) -> None:
    sink = rig.sink(lambda _: None)
    sink.start()
    cameras = [b"A/cam%d" % (index % 3) for index in range(30)]
    sink.publish([outcome(Position("images", 0, offset), key=key) for offset, key in enumerate(cameras)], {})
    records = rig.records(rig.topics.results)
    assert len(records) == 30
    for camera in set(cameras):
        sources = [decode_inspection(record.content).source.offset for record in records if record.key == camera]
        assert sources == [offset for offset, key in enumerate(cameras) if key == camera]
        assert len({record.position.partition for record in records if record.key == camera}) == 1


def test_inspection_lies_on_the_partition_that_its_frame_would_choose(rig: Rig) -> None:
    sink = rig.sink(lambda _: None)
    sink.start()
    for number in range(5):
        key = b"A/cam%d" % number
        source = rig.append(OutgoingRecord(rig.topics.images, key, b"frame", []))
        sink.publish([outcome(source, key=key)], {})
    by_key = {record.key: record.position.partition for record in rig.records(rig.topics.results)}
    assert by_key == {record.key: record.position.partition for record in rig.records(rig.topics.images)}


def test_inspection_is_a_cloud_event_named_by_its_source(rig: Rig) -> None:
    sink = rig.sink(lambda _: None)
    sink.start()
    sink.publish([outcome(Position("images", 3, 14))], {})
    (record,) = rig.records(rig.topics.results)
    headers = dict(record.headers)
    assert headers["ce_id"] == b"images:3:14"
    assert headers["ce_type"] == b"io.qc-worker.inspection.v1"
    assert headers["ce_specversion"] == b"1.0"
    assert headers["content-type"] == b"application/json"


def test_offsets_are_committed_after_the_inspection_lies_on_the_topic(rig: Rig) -> None:
    seen: list[tuple[int, Offsets]] = []
    sink = rig.sink(lambda offsets: seen.append((len(rig.records(rig.topics.results)), offsets)))
    sink.start()
    sink.publish([outcome(Position("images", 0, 0)), outcome(Position("images", 0, 1))], {PARTITION: 2})
    assert seen == [(2, {PARTITION: 2})]


def test_dead_letter_keeps_key_bytes_and_headers(rig: Rig) -> None:
    source = frame(rig, b"text called .jpg")
    content = bytes(range(256)) * 1000
    sink = rig.sink(lambda _: None)
    sink.start()
    sink.publish([outcome(source, dead_letter=letter(source, content))], {})
    (record,) = rig.records(rig.topics.dead_letters)
    assert (record.key, record.content) == (b"\x00any key", content)
    assert record.headers[:3] == (("Line", b"A"), ("binary", b"\xff\xfe"), ("line", b"B"))
    assert dict(record.headers[3:]) == {
        "qc-reason": b"undecodable",
        "qc-detail": b"cannot identify image file",
        "qc-source": str(source).encode(),
    }
    assert len(rig.records(rig.topics.results)) == 1


@pytest.mark.parametrize("size", [16 * 1024 * 1024, 17 * 1024 * 1024])
def test_the_largest_frame_fits_into_a_dead_letter(rig: Rig, size: int) -> None:
    source = Position("images", 0, 0)
    sink = rig.sink(lambda _: None)
    sink.start()
    sink.publish([outcome(source, dead_letter=letter(source, bytes(size)))], {})
    (record,) = rig.records(rig.topics.dead_letters)
    assert record.content == bytes(size)


def test_empty_frame_becomes_an_empty_dead_letter(rig: Rig) -> None:
    source = Position("images", 0, 0)
    sink = rig.sink(lambda _: None)
    sink.start()
    sink.publish([outcome(source, dead_letter=letter(source, b""))], {})
    (record,) = rig.records(rig.topics.dead_letters)
    assert record.content == b""


def test_record_without_a_key_is_published(rig: Rig) -> None:
    source = Position("images", 0, 0)
    sink = rig.sink(lambda _: None)
    sink.start()
    sink.publish([outcome(source, key=None)], {})
    (record,) = rig.records(rig.topics.results)
    assert record.key is None


def test_memory_sink_commits_nothing_when_publishing_fails() -> None:
    broker = MemoryBroker()
    committed: list[Offsets] = []
    sink = MemorySink(broker, results_topic="results", dead_letter_topic="dead", commit=committed.append)
    sink.start()
    broker.available = False
    with pytest.raises(TransportError):
        sink.publish([outcome(Position("images", 0, 0))], {PARTITION: 1})
    broker.available = True
    assert committed == []
    assert broker.end(Partition("results", 0)) == broker.end(Partition("results", 1)) == 0


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    """A broker that may be stopped."""
    with ExitStack() as stack:
        yield started(EmbeddedBroker(), stack)


def test_kafka_sink_commits_nothing_while_the_broker_is_gone_and_goes_on_when_it_is_back(
    broker: EmbeddedBroker,
) -> None:
    topics = Topics()
    committed: list[Offsets] = []
    sink = impatient_sink(broker, topics, committed)
    broker.stop()
    with pytest.raises(TransportError):
        sink.publish([outcome(Position("images", 0, 0))], {PARTITION: 1})
    with pytest.raises(TransportError, match="no Kafka broker answers"):
        sink.publish([outcome(Position("images", 0, 0))], {PARTITION: 1})
    assert committed == []
    broker.start()
    ensure_topics(KafkaAccess(broker.bootstrap_servers), topic_plans(topics))  # it keeps nothing over a restart
    sink.publish([outcome(Position("images", 0, 0))], {PARTITION: 1})
    assert committed == [{PARTITION: 1}]
    sink.close()


def test_failed_publish_leaves_no_thread_behind(broker: EmbeddedBroker) -> None:
    # A producer left running would deliver its stale records whenever the broker is back.
    threads = active_count()
    sink = impatient_sink(broker, Topics(), [])
    broker.stop()
    with pytest.raises(TransportError):
        sink.publish([outcome(Position("images", 0, 0))], {PARTITION: 1})
    assert active_count() == threads


def impatient_sink(broker: EmbeddedBroker, topics: Topics, committed: list[Offsets]) -> AtLeastOnceSink:
    access = KafkaAccess(broker.bootstrap_servers, connect_timeout_ms=500)
    ensure_topics(access, topic_plans(topics))
    sink = AtLeastOnceSink(
        access,
        results_topic=topics.results,
        dead_letter_topic=topics.dead_letters,
        member=CommittingTo(committed.append, access),
        delivery_timeout_s=1.0,
    )
    sink.start()
    return sink
