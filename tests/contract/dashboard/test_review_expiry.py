"""Frames whose picture is gone leave the queue, and block nobody."""

from pathlib import Path

import pytest

from qc_dashboard.database.database import Database
from qc_dashboard.review.statistics import ReviewStatistics
from qc_dashboard.review.wanted import Reviewer, Wanted, Word
from qc_worker.domain.errors import TransportError
from qc_worker.domain.feedback import Judgement
from qc_worker.domain.frame import Position
from qc_worker.domain.inspection import Verdict
from qc_worker.transport.outgoing import OutgoingRecord
from tests.support.archives import Plant, found
from tests.support.published import inspection
from tests.support.review import LEASE_S, ReviewRig

ANN, BOB = Reviewer("page-1", "Ann"), Reviewer("page-2", "Bob")
FRAMES = 6


@pytest.fixture
def rig(database: Database) -> ReviewRig:
    """Have six rejects on the topic and in the queue."""
    rig = ReviewRig(database)
    rig.broker.create_topic("images", partitions=1)
    for _ in range(FRAMES):
        rig.broker.append(OutgoingRecord("images", b"A/top", b"frame", []))
    rig.inspect(*(inspection(offset, verdict=Verdict.REJECT) for offset in range(FRAMES)))
    return rig


def expire(rig: ReviewRig, *, before: int) -> None:
    rig.broker.remove_before(Position("images", 0, before))
    while rig.expiry.step():
        pass


def left(rig: ReviewRig) -> list[int]:
    rig.queue.release(BOB)
    return [one.source.offset for one in rig.queue.claim(BOB, Wanted(), count=16)]


def test_frame_that_retention_removed_before_it_was_archived_leaves_the_queue(rig: ReviewRig, tmp_path: Path) -> None:
    Plant(rig.database, str(tmp_path)).keep(found(1))
    expire(rig, before=3)
    assert left(rig) == [1, 3, 4, 5]
    assert rig.queue.left(None, Wanted()).open == 4
    assert ReviewStatistics(rig.database).gone() == 2
    assert ReviewStatistics(rig.database).gone(line="B") == 0
    rig.fill()
    assert left(rig) == [1, 3, 4, 5]


def test_frame_that_somebody_looks_at_stays_until_the_lease_ends(rig: ReviewRig) -> None:
    first, second = rig.queue.claim(ANN, Wanted(), count=2)
    expire(rig, before=FRAMES)
    assert left(rig) == []
    rig.desk.judge(ANN, first.source, Word(Judgement.GOOD))
    rig.clock.advance(LEASE_S + 1)
    expire(rig, before=FRAMES)
    assert rig.queue.left(None, Wanted()).open == 0
    rig.queue.withdraw([second.source])
    assert ReviewStatistics(rig.database).gone() == FRAMES - 1


def test_frame_that_was_judged_is_not_counted_as_gone(rig: ReviewRig) -> None:
    (first,) = rig.queue.claim(ANN, Wanted())
    rig.desk.judge(ANN, first.source, Word(Judgement.GOOD))
    expire(rig, before=1)
    assert ReviewStatistics(rig.database).gone() == 0


def test_broker_or_topic_that_is_away_removes_nothing(rig: ReviewRig) -> None:
    rig.inspect(inspection(0, verdict=Verdict.REJECT, source=Position("another", 0, 0)))
    with pytest.raises(TransportError):
        expire(rig, before=2)
    assert set(left(rig)) == {0, 2, 3, 4, 5}
    rig.broker.available = False
    with pytest.raises(TransportError):
        rig.expiry.step()
