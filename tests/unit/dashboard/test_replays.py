"""Replays run one after the other; what is open is not asked twice, and too many are refused."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from threading import Event

import pytest

from qc_dashboard.replaying.command import ReplayFailed, Report
from qc_dashboard.replaying.replay import Replay, ReplayState
from qc_dashboard.replaying.replays import MAX_WAITING, Replays, TooMany
from qc_worker.domain.frame import Position
from tests.conftest import eventually
from tests.support.factories import ManualClock
from tests.support.published import inspection

FRAME = Position("images", 0, 0)


class Judge:
    """Judges when it is let; fails for frames at odd offsets."""

    def __init__(self) -> None:
        self.let = Event()

    def __call__(self, asked: Replay, stop: Event) -> Report:
        while not (self.let.wait(0.01) or stop.is_set()):
            pass
        if asked.version == "broken":
            raise ValueError("a defect")
        if asked.source.offset % 2:
            raise ReplayFailed("holds no frame")
        return Report(True, 0.0, 0.1, None, inspection(asked.source.offset))


@contextmanager
def running(judge: Judge) -> Iterator[Replays]:
    with closing(Replays(judge, ManualClock())) as replays:
        replays.start()
        yield replays


def ended(replays: Replays, source: Position) -> Replay:
    def last() -> Replay | None:
        (one,) = replays.of(source)
        return one if one.state in {ReplayState.DONE, ReplayState.FAILED} else None

    return eventually(last)


def test_a_replay_ends_with_a_second_judgement_or_with_a_sentence() -> None:
    judge = Judge()
    judge.let.set()
    with running(judge) as replays:
        replays.ask(FRAME, None, by="ada")
        replays.ask(replace(FRAME, offset=1), None, by="ada")
        assert ended(replays, FRAME).same is True
        assert ended(replays, replace(FRAME, offset=1)).failure == "holds no frame"


def test_a_defect_is_said_and_the_next_replay_goes_on() -> None:
    judge = Judge()
    judge.let.set()
    with running(judge) as replays:
        replays.ask(FRAME, "broken", by="ada")
        assert "ValueError" in (ended(replays, FRAME).failure or "")
        replays.ask(replace(FRAME, offset=2), None, by="ada")
        assert ended(replays, replace(FRAME, offset=2)).same is True


def test_what_is_open_is_not_asked_twice_and_too_many_are_refused() -> None:
    judge = Judge()
    with running(judge) as replays:
        first = replays.ask(FRAME, None, by="ada")
        assert (replays.ask(FRAME, None, by="bob").asked_by, first.asked_by) == ("ada", "ada")
        for number in range(MAX_WAITING - 1):
            replays.ask(FRAME, f"v{number}", by="ada")
        with pytest.raises(TooMany):
            replays.ask(replace(FRAME, offset=2), None, by="ada")
        judge.let.set()
        eventually(lambda: all(one.state is ReplayState.DONE for one in replays.of(FRAME)))
        replays.ask(replace(FRAME, offset=2), None, by="ada")
