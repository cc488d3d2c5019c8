import io
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from qc_worker.domain.feedback import Feedback, Judgement, MarkedBox
from qc_worker.domain.frame import Position
from qc_worker.ports.feedback import CollectedOutbox
from qc_worker.transport.memory.broker import MemoryBroker
from qc_worker.transport.memory.feedback import MemoryCollectedOutbox, MemoryFeedbackOutbox, MemoryFeedbackSource
from qc_worker.transport.memory.frames import MemoryFrameOutbox, MemoryFrameReader
from qc_worker.transport.outgoing import OutgoingRecord
from qc_worker.wire.images import encode_frame
from tests.unit.trainer.factories import LIMITS, LINE, NOW, imported, png
from trainer.samples.feedback.collecting import Collector, CollectReport
from trainer.samples.store import SampleStore, Stored, sha256


class Floor:
    """A broker with cameras, operators and a collector."""

    def __init__(self, folder: Path) -> None:
        self.broker = MemoryBroker(partitions=1)
        for topic in ("images", "feedback", "samples"):
            self.broker.create_topic(topic, partitions=1)
        self.store = SampleStore(folder)

    def frame(self, content: bytes, *, frame_id: str = "f1", line: str = "A") -> Position:
        message = encode_frame(content, line=line, camera="c", captured_at=NOW, frame_id=frame_id)
        return MemoryFrameOutbox(self.broker, topic="images").send(message).position(timeout_s=0)

    def judge(
        self,
        position: Position,
        verdict: Judgement = Judgement.GOOD,
        *,
        frame_id: str = "f1",
        line: str = "A",
        minute: int = 0,
        **more: Any,
    ) -> None:
        at = NOW + timedelta(minutes=minute)
        MemoryFeedbackOutbox(self.broker, topic="feedback").send(
            Feedback(line, frame_id, position, verdict, "ada", at, **more)
        )

    def expire(self, position: Position) -> None:
        """Remove the frame, as retention does."""
        self.broker.remove_before(replace(position, offset=position.offset + 1))

    def collect(self, outbox: CollectedOutbox | None = None) -> CollectReport:
        outbox = outbox or MemoryCollectedOutbox(self.broker, topic="samples")
        with closing(MemoryFeedbackSource(self.broker, topic="feedback")) as source:
            frames = MemoryFrameReader(self.broker)
            return Collector(source, frames, self.store, LIMITS, "images", outbox, poll_s=0.01).run()


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


GOOD, DEFECT, UNSURE = Judgement.GOOD, Judgement.DEFECT, Judgement.UNSURE


def used(floor: Floor) -> tuple[int, int, int]:
    """Count the good samples, the defects and what is held back."""
    good, defect, unsure = (len(floor.store.ids(LINE, judgement)) for judgement in (GOOD, DEFECT, UNSURE))
    return good, defect, unsure


def test_sample_keeps_who_said_what_when_and_on_which_inspection_and_version(tmp_path: Path) -> None:
    floor = Floor(tmp_path)
    position = floor.frame(png(0))
    floor.judge(position, model_version="v7")
    floor.judge(position, DEFECT, minute=5, kind="scratch", model_version="v8")
    floor.collect()
    card = floor.store.find(LINE, sha256(png(0)))
    assert card is not None
    said = [(word.judgement, word.by, word.at, word.source, word.model_version, word.kind) for word in card.words]
    assert said == [
        (GOOD, "ada", NOW, position, "v7", None),
        (DEFECT, "ada", NOW + timedelta(minutes=5), position, "v8", "scratch"),
    ]
    assert (card.judgement, card.kind) == (DEFECT, "scratch")


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize("expires", [True, False])
@pytest.mark.parametrize(
    ("words", "outcome"),
    [
        ([GOOD, DEFECT], (0, 1, 0)),
        ([DEFECT, GOOD], (1, 0, 0)),
        ([GOOD, UNSURE], (0, 0, 1)),
        ([DEFECT, UNSURE], (0, 0, 1)),
        ([GOOD, UNSURE, GOOD], (1, 0, 0)),
        ([DEFECT, UNSURE, DEFECT], (0, 1, 0)),
    ],
)
def test_the_last_word_counts_also_if_the_frame_has_expired(
    tmp_path: Path, words: list[Judgement], outcome: tuple[int, int, int], at_once: bool, expires: bool
) -> None:
    floor = Floor(tmp_path)
    position = floor.frame(png(0))
    for minute, word in enumerate(words):
        floor.judge(position, word, minute=minute)
        if minute == 0 or not at_once:
            floor.collect()
        if expires:
            floor.expire(position)
    floor.collect()
    assert used(floor) == outcome
    card = floor.store.find(LINE, sha256(png(0)))
    assert card is not None
    assert [word.judgement for word in card.words] == words


def test_word_that_comes_late_does_not_undo_a_newer_one(tmp_path: Path) -> None:
    floor = Floor(tmp_path)
    position = floor.frame(png(0))
    floor.judge(position, UNSURE, minute=9)
    floor.judge(position, GOOD, minute=3)
    report = floor.collect()
    assert (used(floor), report.held_back, report.known, report.added) == ((0, 0, 1), 1, 1, {})


def test_feedback_that_is_delivered_again_changes_nothing(tmp_path: Path) -> None:
    floor = Floor(tmp_path)
    position = floor.frame(png(0))
    for _ in range(2):
        for minute, word in enumerate([GOOD, UNSURE, DEFECT]):
            floor.judge(position, word, minute=minute)
    report = floor.collect()
    card = floor.store.find(LINE, sha256(png(0)))
    assert card is not None
    assert (used(floor), len(card.words), report.known) == ((0, 1, 0), 3, 3)


def test_frame_that_expired_before_it_was_a_sample_is_lost(tmp_path: Path) -> None:
    floor = Floor(tmp_path)
    first, second = floor.frame(png(0)), floor.frame(png(1), frame_id="f2")
    floor.judge(first)
    floor.collect()
    floor.expire(second)
    floor.judge(second, UNSURE, frame_id="f2")
    floor.judge(first, UNSURE, frame_id="another", minute=1)
    assert (floor.collect().expired, used(floor)) == (2, (1, 0, 0))


def marked(floor: Floor, content: bytes) -> list[tuple[int, int]]:
    """Return the marked pixels of the defect's mask."""
    mask = floor.store.mask(LINE, sha256(content))
    assert mask is not None
    return [(int(y), int(x)) for y, x in np.argwhere(np.asarray(Image.open(io.BytesIO(mask))))]


def test_boxes_of_a_defect_become_a_coarse_mask(tmp_path: Path) -> None:
    floor = Floor(tmp_path)
    position = floor.frame(png(0))
    floor.judge(position, DEFECT, boxes=(MarkedBox(4, 2, 2, 1), MarkedBox(46, 47, 100, 100)))
    floor.collect()
    assert marked(floor, png(0)) == [(2, 4), (2, 5), (47, 46), (47, 47)]
    card = floor.store.find(LINE, sha256(png(0)))
    assert card is not None
    assert card.coarse_mask


def test_mask_follows_its_defect_when_it_is_held_back_and_restored(tmp_path: Path) -> None:
    floor = Floor(tmp_path)
    position = floor.frame(png(0))
    box = MarkedBox(4, 2, 1, 1)
    for minute, (word, boxes) in enumerate([(DEFECT, (box,)), (UNSURE, ()), (DEFECT, ())]):
        floor.judge(position, word, minute=minute, boxes=boxes)
        floor.collect()
        floor.expire(position)
    assert marked(floor, png(0)) == [(2, 4)]


def test_boxes_never_replace_an_exact_mask(tmp_path: Path) -> None:
    floor = Floor(tmp_path)
    floor.store.add(LINE, DEFECT, png(0), origin=imported(), mask=png(7))
    floor.judge(floor.frame(png(0)), DEFECT, minute=1, boxes=(MarkedBox(0, 0, 9, 9),))
    floor.collect()
    assert floor.store.mask(LINE, sha256(png(0))) == png(7)


def test_import_does_not_use_again_what_a_person_held_back(tmp_path: Path) -> None:
    floor = Floor(tmp_path)
    floor.store.add(LINE, GOOD, png(0), origin=imported())
    floor.judge(floor.frame(png(0)), UNSURE, minute=1)
    floor.collect()
    assert floor.store.add(LINE, GOOD, png(0), origin=imported("again.png")) is Stored.HELD_BACK
    assert used(floor) == (0, 0, 1)
