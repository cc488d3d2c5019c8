"""Several reviewers at once, and processes that die: no frame goes to two people, no word is lost or counts twice."""

import signal
import subprocess
import sys
from collections import Counter
from contextlib import closing
from threading import Barrier, Event, Thread

import pytest
from sqlalchemy import func, select

from qc_dashboard.database.database import Database, open_database
from qc_dashboard.history.history import History
from qc_dashboard.review.queue import ReviewQueue
from qc_dashboard.review.tables import words
from qc_dashboard.review.wanted import Reviewer, Wanted, Word
from qc_worker.domain.errors import TransportError
from qc_worker.domain.feedback import Judgement
from qc_worker.domain.frame import Position
from qc_worker.domain.inspection import Verdict
from tests.conftest import eventually
from tests.support.factories import ManualClock
from tests.support.published import inspection
from tests.support.review import LEASE_S, ReviewRig

THREADS, FRAMES = 6, 60
ANN = Reviewer("page-1", "Ann")


@pytest.fixture
def rig(database: Database) -> ReviewRig:
    rig = ReviewRig(database)
    rig.inspect(*(inspection(offset, verdict=Verdict.REJECT) for offset in range(FRAMES)))
    return rig


def reviewing(url: str, session: str, failpoints: str = "") -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "tests.support.reviewing_process", url, session, failpoints]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def begin(process: "subprocess.Popen[str]") -> None:
    assert process.stdin
    process.stdin.close()
    process.stdin = None


def test_threads_with_connections_of_their_own_never_get_the_same_frame(rig: ReviewRig, database_url: str) -> None:
    barrier = Barrier(THREADS)
    given: list[list[int]] = [[] for _ in range(THREADS)]

    def claim_all(number: int) -> None:
        database = open_database(database_url)
        queue, session = ReviewQueue(database, ManualClock(), lease_s=LEASE_S), 0
        barrier.wait()
        while True:  # leases are kept: each round is another page
            claimed = queue.claim(Reviewer(f"page-{number}-{session}", "Ann"), Wanted(), count=3)
            if not claimed:
                break
            given[number] += [leased.source.offset for leased in claimed]
            session += 1
        database.close()

    threads = [Thread(target=claim_all, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(offset for each in given for offset in each) == list(range(FRAMES))


def test_two_processes_never_get_the_same_frame(rig: ReviewRig, database_url: str) -> None:
    both = [reviewing(database_url, f"page-{number}") for number in range(2)]
    for process in both:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
    for process in both:
        begin(process)
    given = [set(map(int, process.communicate(timeout=60)[0].split())) for process in both]
    assert given[0].isdisjoint(given[1])
    assert given[0] | given[1] == set(range(FRAMES))
    assert Counter(one.source.offset for one in rig.sent()) == Counter(range(FRAMES))


@pytest.mark.parametrize(("place", "said"), [("in-judgement", 0), ("after-judgement", 1)])
def test_reviewer_that_dies_leaves_a_word_that_is_sent_or_a_frame_that_is_free(
    rig: ReviewRig, database_url: str, place: str, said: int
) -> None:
    process = reviewing(database_url, "page-1", f"{place}=1")
    begin(process)
    assert process.wait(60) == -signal.SIGKILL
    sent = rig.sent()
    assert [one.source.offset for one in sent] == list(range(said))
    assert rig.queue.left(ANN, Wanted()).open == FRAMES - said


def test_sender_that_dies_after_sending_sends_again_and_the_history_counts_it_once(
    rig: ReviewRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Died(BaseException):
        pass

    def die(place: str) -> None:
        if place == "after-word-sent":
            raise Died

    leased = rig.queue.claim(ANN, Wanted(), count=2)
    for one in leased:
        rig.desk.judge(ANN, one.source, Word(Judgement.GOOD))
    with monkeypatch.context() as patched:
        patched.setattr("qc_dashboard.review.sending.failpoint", die)
        with pytest.raises(Died):
            rig.sender.step()
    sent = rig.sent()
    assert [one.source.offset for one in sent] == [0, 0, 1]
    assert sent[0] == sent[1]
    rig.hear(*sent)
    assert [len(History(rig.database).feedback_on(Position("images", 0, offset))) for offset in (0, 1)] == [1, 1]
    with rig.database.reading() as connection:
        assert connection.scalar(select(func.count()).select_from(words)) == 2


def test_words_wait_while_the_broker_is_away(rig: ReviewRig) -> None:
    (leased,) = rig.queue.claim(ANN, Wanted())
    rig.desk.judge(ANN, leased.source, Word(Judgement.GOOD))
    rig.broker.available = False
    with pytest.raises(TransportError):
        rig.sender.step()
    assert rig.sender.unsent() == 1
    rig.broker.available = True
    assert len(rig.sent()) == 1
    assert rig.sender.unsent() == 0


def test_review_offers_new_frames_and_sends_words_by_itself(rig: ReviewRig) -> None:
    with closing(rig.review) as review:
        review.start()
        (leased,) = review.queue.claim(ANN, Wanted())
        review.judge(ANN, leased.source, Word(Judgement.GOOD))
        review.undo(ANN)
        review.say(ANN, leased.source, Word(Judgement.UNSURE))
        pause = Event()
        eventually(lambda: pause.wait(0.02) or review.unsent() == 0)
    assert [one.verdict for one in rig.topic()] == ["good", "unsure", "unsure"]
