from pathlib import Path

from qc_worker.domain.feedback import Feedback, Judgement
from qc_worker.domain.frame import Position
from qc_worker.transport.memory.broker import MemoryBroker
from qc_worker.transport.memory.feedback import MemoryFeedbackOutbox, MemoryFeedbackSource
from qc_worker.transport.memory.frames import MemoryFrameOutbox, MemoryFrameReader
from qc_worker.transport.outgoing import OutgoingRecord
from qc_worker.wire.images import encode_frame
from tests.unit.trainer.factories import LIMITS, LINE, NOW, png
from trainer.samples.collecting import Collector, CollectReport
from trainer.samples.store import SampleStore, sha256


class Floor:
    """A broker with cameras, operators and a collector."""

    def __init__(self, folder: Path) -> None:
        self.broker = MemoryBroker(partitions=1)
        for topic in ("images", "feedback"):
            self.broker.create_topic(topic, partitions=1)
        self.store = SampleStore(folder)

    def frame(self, content: bytes, *, frame_id: str = "f1", line: str = "A") -> Position:
        message = encode_frame(content, line=line, camera="c", captured_at=NOW, frame_id=frame_id)
        return MemoryFrameOutbox(self.broker, topic="images").send(message).position(timeout_s=0)

    def judge(
        self, position: Position, *, frame_id: str = "f1", line: str = "A", verdict: Judgement = Judgement.GOOD
    ) -> None:
        MemoryFeedbackOutbox(self.broker, topic="feedback").send(
            Feedback(line, frame_id, position, verdict, "ada", NOW)
        )

    def collect(self) -> CollectReport:
        source = MemoryFeedbackSource(self.broker, topic="feedback")
        frames = MemoryFrameReader(self.broker)
        report = Collector(source, frames, self.store, LIMITS, "images", poll_s=0.01).run()
        source.close()
        return report


def test_an_accepted_frame_becomes_a_sample_with_its_origin(tmp_path: Path) -> None:
    floor = Floor(tmp_path)
    position = floor.frame(png(0))
    floor.judge(position)
    assert floor.collect().added == {"A": {"good": 1}}
    origin = floor.store.card(LINE, Judgement.GOOD, sha256(png(0))).origins[0]
    assert (origin.position, origin.frame_id, origin.accepted_by) == (position, "f1", "ada")
    assert origin.captured_at == NOW


def test_a_frame_judged_defective_becomes_a_defect_sample(tmp_path: Path) -> None:
    floor = Floor(tmp_path)
    floor.judge(floor.frame(png(0)), verdict=Judgement.DEFECT)
    floor.collect()
    assert floor.store.ids(LINE, Judgement.DEFECT) == [sha256(png(0))]


def test_what_was_collected_is_not_collected_again(tmp_path: Path) -> None:
    floor = Floor(tmp_path)
    floor.judge(floor.frame(png(0)))
    floor.collect()
    assert floor.collect().feedback == 0


def test_an_expired_frame_is_counted(tmp_path: Path) -> None:
    floor = Floor(tmp_path)
    floor.judge(Position("images", 0, 99))
    assert floor.collect().expired == 1


def test_feedback_must_name_the_line_frame_and_topic_of_its_record(tmp_path: Path) -> None:
    floor = Floor(tmp_path)
    position = floor.frame(png(0))
    floor.judge(position, line="B")
    floor.judge(position, frame_id="another")
    floor.judge(Position("secrets", 0, 0))
    assert floor.collect().mismatched == 3
    assert floor.store.lines() == []


def test_a_frame_that_does_not_decode_is_counted_and_not_stored(tmp_path: Path) -> None:
    floor = Floor(tmp_path)
    floor.judge(floor.frame(b"not a picture"))
    assert floor.collect().undecodable == 1
    assert floor.store.lines() == []


def test_an_unreadable_feedback_does_not_hide_those_after_it(tmp_path: Path) -> None:
    floor = Floor(tmp_path)
    floor.broker.append(OutgoingRecord("feedback", b"A", b"not JSON", []))
    floor.judge(floor.frame(png(0)))
    assert floor.collect().added == {"A": {"good": 1}}
