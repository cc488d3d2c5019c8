"""InspectionFeed, FrameOutbox and FeedbackOutbox: the ends of the topics that stand outside of the workers."""

import pytest

from qc_worker.domain.errors import TransportError
from qc_worker.domain.frame import Position
from qc_worker.ports.results import InspectionFeed, PublishedInspection
from qc_worker.transport.outgoing import OutgoingRecord
from qc_worker.wire.images import decode_record, encode_frame
from tests.conftest import eventually, unique
from tests.contract.rigs import NOW, Rig, feedback, outcome
from tests.contract.test_feedback_source import gathered


@pytest.fixture
def feed(rig: Rig) -> InspectionFeed:
    return rig.inspection_feed()


def publish(rig: Rig, *offsets: int) -> None:
    """All of them in one batch."""
    sink = rig.sink(lambda _: None)
    sink.start()
    sink.publish([outcome(Position("images", 0, offset)) for offset in offsets], {})


def some(feed: InspectionFeed) -> list[PublishedInspection]:
    return eventually(lambda: feed.poll(timeout_s=0.2))


def test_inspections_are_read_from_the_beginning(rig: Rig, feed: InspectionFeed) -> None:
    publish(rig, 0, 1, 2)
    feed.start()
    published = some(feed)
    assert [each.inspection.source.offset for each in published] == [0, 1, 2]
    assert published[0].key == b"A/cam1"
    assert dict(published[0].headers)["ce_id"] == b"images:0:0"


def test_reader_from_the_end_sees_only_what_comes_after(rig: Rig) -> None:
    publish(rig, 0, 1, 2)
    feed = rig.inspection_feed(from_beginning=False)
    feed.start()
    publish(rig, 3, 4)
    assert [each.inspection.source.offset for each in some(feed)] == [3, 4]


def test_reading_ends_with_its_time(rig: Rig, feed: InspectionFeed) -> None:
    publish(rig, 0)
    feed.start()
    assert [each.inspection.source.offset for each in feed.read(timeout_s=1.0)] == [0]


def test_unreadable_inspections_are_left_out(rig: Rig, feed: InspectionFeed) -> None:
    rig.append(OutgoingRecord(rig.topics.results, b"A/cam1", b"not json", []))
    publish(rig, 7)
    feed.start()
    assert [each.inspection.source.offset for each in some(feed)] == [7]


def test_reader_that_is_not_started_says_so(feed: InspectionFeed) -> None:
    with pytest.raises(TransportError, match="not started"):
        feed.poll(timeout_s=0.1)


def test_frame_of_a_camera_arrives_as_it_was_wrapped(rig: Rig) -> None:
    camera = rig.frame_outbox()
    sent = camera.send(encode_frame(b"jpeg", line="A", camera="cam1", captured_at=NOW, frame_id="f1"))
    camera.flush()
    (record,) = rig.records(rig.topics.images)
    frame = decode_record(record)
    assert (frame.line, frame.camera, frame.frame_id, frame.captured_at) == ("A", "cam1", "f1", NOW)
    assert frame.content == b"jpeg"
    assert record.position == sent.position(timeout_s=5)


def test_frames_of_a_camera_keep_their_order(rig: Rig) -> None:
    camera = rig.frame_outbox()
    for index in range(100):
        camera.send(encode_frame(b"%d" % index, line="A", camera="cam1", captured_at=NOW))
    camera.flush()
    assert [int(record.content) for record in rig.records(rig.topics.images)] == list(range(100))


def test_frame_that_no_broker_would_take_is_an_error_at_once(rig: Rig) -> None:
    camera = rig.frame_outbox()
    with pytest.raises(TransportError):
        camera.send(encode_frame(bytes(20 * 1024 * 1024), line="A", camera="cam1", captured_at=NOW))


def test_sent_feedback_is_gathered(rig: Rig) -> None:
    outbox = rig.feedback_outbox()
    outbox.send(feedback("f1"))
    outbox.close()
    assert gathered(rig.feedback_source(unique("group")), 1) == [feedback("f1")]
