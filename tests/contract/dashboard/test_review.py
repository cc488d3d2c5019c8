"""Queue and desk: what is offered, leased, said, undone and sent, on SQLite and PostgreSQL."""

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import update

from qc_dashboard.database.database import Database
from qc_dashboard.history.history import History
from qc_dashboard.review.statistics import ReviewStatistics
from qc_dashboard.review.tables import words
from qc_dashboard.review.wanted import (
    CannotUndo,
    LeaseLost,
    Reviewer,
    ReviewOrder,
    UnknownFrame,
    Wanted,
    Word,
    WordRefused,
)
from qc_worker.domain.feedback import Judgement, MarkedBox
from qc_worker.domain.frame import Position
from qc_worker.domain.inspection import Inspection, Verdict
from tests.support.factories import NOON
from tests.support.published import inspection
from tests.support.review import LEASE_S, ReviewRig

ANN, BOB = Reviewer("page-1", "Ann"), Reviewer("page-2", "Bob")
EVERYTHING = Wanted()
GOOD, DENT = Word(Judgement.GOOD), Word(Judgement.DEFECT, "dent", (MarkedBox(1, 2, 3, 4),))


@pytest.fixture
def rig(database: Database) -> ReviewRig:
    return ReviewRig(database)


def offsets(rig: ReviewRig, reviewer: Reviewer, wanted: Wanted = EVERYTHING, *, count: int = 16) -> list[int]:
    return [leased.source.offset for leased in rig.queue.claim(reviewer, wanted, count=count)]


def rejects(count: int) -> list[Inspection]:
    return [inspection(offset, verdict=Verdict.REJECT) for offset in range(count)]


def source(offset: int) -> Position:
    return Position("images", 0, offset)


def test_reviews_rejects_and_a_share_of_passes_are_offered_once(database: Database) -> None:
    rig = ReviewRig(database, pass_share=0.25)
    rig.inspect(*(inspection(offset) for offset in range(400)))
    rig.inspect(*(inspection(offset, verdict=verdict) for offset, verdict in enumerate(Verdict, start=400)))
    rig.fill()
    offered = rig.queue.left(ANN, EVERYTHING).open
    assert rig.queue.left(ANN, Wanted(verdicts=(Verdict.REJECT, Verdict.REVIEW))).open == 2
    assert 70 <= offered - 2 <= 130


def test_frames_without_a_usable_name_are_not_offered(rig: ReviewRig) -> None:
    rig.inspect(inspection(0, verdict=Verdict.REJECT, line=None), inspection(1, verdict=Verdict.REJECT, frame_id=None))
    assert rig.queue.left(ANN, EVERYTHING).open == 0


def test_orders(rig: ReviewRig) -> None:
    rig.inspect(
        inspection(0, line="B", verdict=Verdict.REJECT, score=9.0, threshold=1.0),
        inspection(1, line="A", verdict=Verdict.REJECT, score=1.1, threshold=1.0),
        inspection(2, line="A", verdict=Verdict.REVIEW, score=0.7, threshold=1.0),
    )
    in_order = {order: offsets(rig, ANN, Wanted(order=order)) for order in [ReviewOrder.OLDEST]}
    for order in ReviewOrder:
        rig.queue.release(ANN)
        in_order[order] = offsets(rig, ANN, Wanted(order=order))
    assert in_order == {
        ReviewOrder.OLDEST: [0, 1, 2],
        ReviewOrder.DOUBTFUL: [1, 2, 0],
        ReviewOrder.VERDICT: [2, 0, 1],
        ReviewOrder.LINE: [1, 2, 0],
    }


def test_frame_is_one_sessions_until_its_lease_expires(rig: ReviewRig) -> None:
    rig.inspect(*rejects(2))
    assert offsets(rig, ANN, count=1) == [0]
    assert offsets(rig, ANN, count=1) == [0]
    assert offsets(rig, BOB, count=2) == [1]
    assert rig.queue.left(ANN, EVERYTHING).leased_by_others == 1
    rig.clock.advance(LEASE_S - 1)
    assert rig.queue.renew(ANN) == 1
    rig.clock.advance(LEASE_S - 1)
    assert rig.queue.renew(BOB) == 0
    assert offsets(rig, BOB, count=2) == [1]
    rig.clock.advance(2)
    assert offsets(rig, BOB, count=2) == [1, 0]
    with pytest.raises(LeaseLost):
        rig.desk.judge(ANN, source(0), GOOD)


def test_frames_that_are_not_wanted_any_more_go_back(rig: ReviewRig) -> None:
    rig.inspect(*rejects(1), *(inspection(1, verdict=Verdict.REVIEW),))
    assert offsets(rig, ANN) == [0, 1]
    assert offsets(rig, ANN, Wanted(verdicts=(Verdict.REVIEW,))) == [1]
    assert offsets(rig, BOB) == [0]


def test_skipped_frame_goes_to_others_and_comes_back_on_request(rig: ReviewRig) -> None:
    rig.inspect(*rejects(1))
    assert offsets(rig, ANN) == [0]
    rig.queue.skip(ANN, source(0))
    assert offsets(rig, ANN) == []
    assert rig.queue.left(ANN, EVERYTHING).skipped == 1
    assert offsets(rig, BOB) == [0]
    rig.queue.release(BOB)
    assert rig.queue.show_skipped(ANN) == 1
    assert offsets(rig, ANN) == [0]
    with pytest.raises(LeaseLost):
        rig.queue.skip(BOB, source(0))


def test_each_judgement_is_one_message(rig: ReviewRig) -> None:
    rig.inspect(*rejects(2))
    offsets(rig, ANN)
    first = rig.desk.judge(ANN, source(0), DENT)
    assert rig.desk.judge(ANN, source(0), DENT) == first
    rig.desk.judge(ANN, source(1), GOOD)
    sent = rig.sent()
    assert [(one.source.offset, one.verdict, one.kind) for one in sent] == [(0, "defect", "dent"), (1, "good", None)]
    assert (sent[0].accepted_by, sent[0].model_version, sent[0].boxes) == ("Ann", "v1", DENT.boxes)
    assert rig.sent() == sent
    assert rig.queue.left(ANN, EVERYTHING).open == 0


def test_word_whose_acknowledgement_was_not_noted_is_sent_again_with_the_same_bytes(rig: ReviewRig) -> None:
    rig.inspect(*rejects(1))
    offsets(rig, ANN)
    rig.desk.judge(ANN, source(0), GOOD)
    rig.sent()
    with rig.database.writing() as connection:
        connection.execute(update(words).values(sent_us=None))
    sent = rig.sent()
    assert len(sent) == 2
    assert sent[0] == sent[1]
    rig.hear(*sent)
    assert len(History(rig.database).feedback_on(source(0))) == 1


@pytest.mark.parametrize(
    "word",
    [
        Word(Judgement.DEFECT, "rust"),
        Word(Judgement.GOOD, "dent"),
        Word(Judgement.DEFECT, "dent", (MarkedBox(0, 0, 0, 5),)),
        Word(Judgement.DEFECT, "a/b"),
    ],
)
def test_word_that_is_not_valid_is_refused_and_the_lease_stays(rig: ReviewRig, word: Word) -> None:
    rig.inspect(*rejects(1))
    offsets(rig, ANN)
    with pytest.raises(WordRefused):
        rig.desk.judge(ANN, source(0), word)
    assert offsets(rig, BOB) == []
    assert rig.sent() == []


def test_line_may_have_a_list_of_kinds_of_its_own(rig: ReviewRig) -> None:
    rig.kinds.set("A", ["rust", "burr"])
    assert rig.kinds.of("A") == ("rust", "burr")
    assert rig.kinds.of("B") == ("scratch", "dent")
    rig.kinds.set("A", [])
    assert rig.kinds.of("A") == ("scratch", "dent")
    for refused in (["good"], ["a/b"], ["Rust", "rust"]):
        with pytest.raises(WordRefused):
            rig.kinds.set("A", refused)


def test_undo_of_a_first_word_withdraws_it_and_brings_the_frame_back(rig: ReviewRig) -> None:
    rig.inspect(*rejects(2))
    offsets(rig, ANN, count=1)
    rig.desk.judge(ANN, source(0), GOOD)
    rig.desk.undo(ANN)
    assert offsets(rig, ANN, count=1) == [0]
    assert offsets(rig, BOB, count=2) == [1]
    rig.desk.judge(ANN, source(0), DENT)
    assert [one.verdict for one in rig.sent()] == ["good", "unsure", "defect"]
    times = [one.accepted_at for one in rig.sent()]
    assert times == sorted(set(times))
    with pytest.raises(CannotUndo):
        rig.desk.undo(BOB)


def test_undo_says_the_earlier_word_again_step_by_step(rig: ReviewRig) -> None:
    rig.inspect(*rejects(1))
    offsets(rig, ANN)
    rig.desk.judge(ANN, source(0), DENT)
    rig.desk.say(ANN, source(0), GOOD)
    assert rig.desk.undo(ANN).word == DENT
    assert offsets(rig, BOB) == []
    assert rig.queue.claim(ANN, EVERYTHING)[0].said is Judgement.DEFECT
    assert rig.desk.undo(ANN).word == Word(Judgement.UNSURE)
    with pytest.raises(CannotUndo):
        rig.desk.undo(ANN)
    assert [one.verdict for one in rig.sent()] == ["defect", "good", "defect", "unsure"]


def test_words_of_others_are_not_undone(rig: ReviewRig) -> None:
    rig.inspect(*rejects(1))
    offsets(rig, ANN)
    rig.desk.judge(ANN, source(0), GOOD)
    rig.desk.say(BOB, source(0), DENT)
    with pytest.raises(CannotUndo, match="somebody else"):
        rig.desk.undo(ANN)
    assert rig.desk.undo(BOB).word == GOOD


def test_frame_that_another_program_has_judged_leaves_the_queue(rig: ReviewRig) -> None:
    rig.inspect(*rejects(2))
    offsets(rig, ANN, count=1)
    rig.desk.judge(ANN, source(0), GOOD)
    said = rig.sent()[0]
    elsewhere = replace(said, source=source(1), accepted_by="Zoe", accepted_at=NOON + timedelta(minutes=1))
    rig.hear(said, elsewhere)
    assert offsets(rig, BOB) == []
    rig.fill()
    assert rig.queue.left(BOB, EVERYTHING).open == 0
    rig.clock.advance(1)
    assert rig.desk.say(ANN, source(1), DENT).accepted_us > rig.desk.say(BOB, source(0), DENT).accepted_us


def test_any_frame_of_the_history_can_be_judged_and_no_other(rig: ReviewRig) -> None:
    rig.inspect(inspection(0))
    rig.desk.say(ANN, source(0), GOOD)
    for unknown in (source(9), Position("a\0", 0, 0), Position("images", 2**31, 0)):
        with pytest.raises(UnknownFrame):
            rig.desk.say(ANN, unknown, GOOD)
        with pytest.raises(LeaseLost):
            rig.desk.judge(BOB, unknown, GOOD)


def test_work_of_each_person_is_counted(rig: ReviewRig) -> None:
    rig.inspect(*rejects(3))
    offsets(rig, ANN)
    rig.clock.advance(4)
    rig.desk.judge(ANN, source(0), GOOD)
    rig.desk.judge(ANN, source(1), DENT)
    rig.desk.undo(ANN)
    rig.desk.say(BOB, source(2), Word(Judgement.UNSURE))
    ann, bob = ReviewStatistics(rig.database).by_person(line="A")
    assert (ann.person, ann.good, ann.defect, ann.unsure, ann.undone, ann.mean_looked_s) == ("Ann", 1, 0, 0, 1, 4.0)
    assert (bob.person, bob.unsure, bob.mean_looked_s) == ("Bob", 1, None)


@pytest.mark.parametrize("names", [("", "Ann"), ("s", ""), ("s" * 200, "Ann"), ("s", "a\0")])
def test_reviewer_needs_printable_names(names: tuple[str, str]) -> None:
    with pytest.raises(ValueError, match="person"):
        Reviewer(*names)
