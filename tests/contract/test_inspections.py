"""Reading `results` without a group, and sending frames as a camera does."""

from collections.abc import Iterator

import pytest

from qc_worker.domain.errors import TransportError
from qc_worker.domain.frame import Position
from qc_worker.ports.results import PublishedInspection
from qc_worker.transport.kafka.feedback import KafkaFeedbackOutbox
from qc_worker.transport.kafka.frame_outbox import KafkaFrameOutbox
from qc_worker.transport.kafka.inspection_feed import KafkaInspectionFeed
from qc_worker.transport.outgoing import OutgoingRecord
from qc_worker.wire.images import decode_record, encode_frame
from tests.conftest import eventually, unique
from tests.contract.rigs import NOW, KafkaRig, feedback, outcome
from tests.contract.test_feedback_source import gathered


@pytest.fixture
def reader(kafka_rig: KafkaRig) -> Iterator[KafkaInspectionFeed]:
    reader = KafkaInspectionFeed(kafka_rig.access, topic=kafka_rig.topics.results)
    yield reader
    reader.close()


def publish(rig: KafkaRig, *offsets: int) -> None:
    """All of them in one batch."""
    sink = rig.sink(lambda _: None)
    sink.start()
    sink.publish([outcome(Position("images", 0, offset)) for offset in offsets], {})


def some(reader: KafkaInspectionFeed) -> list[PublishedInspection]:
    return eventually(lambda: reader.poll(timeout_s=0.2))


def test_inspections_are_read_from_the_beginning(kafka_rig: KafkaRig, reader: KafkaInspectionFeed) -> None:
    publish(kafka_rig, 0, 1, 2)
    reader.start()
    published = some(reader)
    assert [each.inspection.source.offset for each in published] == [0, 1, 2]
    assert published[0].key == b"A/cam1"
    assert dict(published[0].headers)["ce_id"] == b"images:0:0"


def test_reader_from_the_end_sees_only_what_comes_after(kafka_rig: KafkaRig) -> None:
    publish(kafka_rig, 0, 1, 2)
    reader = KafkaInspectionFeed(kafka_rig.access, topic=kafka_rig.topics.results, from_beginning=False)
    reader.start()
    publish(kafka_rig, 3, 4)
    assert [each.inspection.source.offset for each in some(reader)] == [3, 4]
    reader.close()


def test_reading_ends_with_its_time(kafka_rig: KafkaRig, reader: KafkaInspectionFeed) -> None:
    publish(kafka_rig, 0)
    reader.start()
    assert [each.inspection.source.offset for each in reader.read(timeout_s=1.0)] == [0]


def test_unreadable_inspections_are_left_out(kafka_rig: KafkaRig, reader: KafkaInspectionFeed) -> None:
    kafka_rig.append(OutgoingRecord(kafka_rig.topics.results, b"A/cam1", b"not json", []))
    publish(kafka_rig, 7)
    reader.start()
    assert [each.inspection.source.offset for each in some(reader)] == [7]


def test_reader_that_is_not_started_says_so(reader: KafkaInspectionFeed) -> None:
    with pytest.raises(TransportError, match="not started"):
        reader.poll(timeout_s=0.1)


def test_frame_of_a_camera_arrives_as_it_was_wrapped(kafka_rig: KafkaRig) -> None:
    with KafkaFrameOutbox(kafka_rig.access, topic=kafka_rig.topics.images) as camera:
        sent = camera.send(encode_frame(b"jpeg", line="A", camera="cam1", captured_at=NOW, frame_id="f1"))
        camera.flush()
    (record,) = kafka_rig.records(kafka_rig.topics.images)
    frame = decode_record(record)
    assert (frame.line, frame.camera, frame.frame_id, frame.captured_at) == ("A", "cam1", "f1", NOW)
    assert frame.content == b"jpeg"
    assert record.position == sent.position(timeout_s=5)


def test_frames_of_a_camera_keep_their_order(kafka_rig: KafkaRig) -> None:
    with KafkaFrameOutbox(kafka_rig.access, topic=kafka_rig.topics.images) as camera:
        for index in range(100):
            camera.send(encode_frame(b"%d" % index, line="A", camera="cam1", captured_at=NOW))
        camera.flush()
    assert [int(record.content) for record in kafka_rig.records(kafka_rig.topics.images)] == list(range(100))


def test_frame_that_no_broker_would_take_is_an_error_at_once(kafka_rig: KafkaRig) -> None:
    with KafkaFrameOutbox(kafka_rig.access, topic=kafka_rig.topics.images) as camera, pytest.raises(TransportError):
        camera.send(encode_frame(bytes(20 * 1024 * 1024), line="A", camera="cam1", captured_at=NOW))


def test_sent_feedback_is_gathered(kafka_rig: KafkaRig) -> None:
    sender = KafkaFeedbackOutbox(kafka_rig.access, topic=kafka_rig.topics.feedback)
    sender.send(feedback("f1"))
    sender.close()
    assert gathered(kafka_rig.feedback_source(unique("group")), 1) == [feedback("f1")]
