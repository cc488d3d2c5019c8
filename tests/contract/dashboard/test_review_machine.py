"""Several reviewers in any order of steps, compared with a plain model, on SQLite and PostgreSQL."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from sqlalchemy import delete

from qc_dashboard.database.database import Database
from qc_dashboard.history.tables import consumed, duplicates, feedback, inspections
from qc_dashboard.review.last_words import last_words
from qc_dashboard.review.tables import places, queue, skips, words
from qc_dashboard.review.wanted import CannotUndo, LeaseLost, Reviewer, Wanted, Word
from qc_worker.domain.feedback import Judgement
from qc_worker.domain.frame import Position
from qc_worker.domain.inspection import Verdict
from tests.support.factories import NOON
from tests.support.published import inspection
from tests.support.review import LEASE_S, ReviewRig

PEOPLE = [Reviewer(f"page-{number}", name) for number, name in enumerate(("Ann", "Bob", "Cid"))]
WORDS = [Word(Judgement.GOOD), Word(Judgement.DEFECT, "dent"), Word(Judgement.UNSURE)]
people, counts, all_words = st.sampled_from(PEOPLE), st.integers(1, 3), st.sampled_from(WORDS)
frames = st.integers(0, 5)


class ReviewMachine(RuleBasedStateMachine):
    """The model: who holds which frame until when, what was said about it in which order, who skipped it."""

    database: Database

    def __init__(self) -> None:
        super().__init__()
        with self.database.writing() as connection:
            for table in (inspections, duplicates, consumed, feedback, queue, words, skips, places):
                connection.execute(delete(table))
        self.rig = ReviewRig(self.database)
        self.held: dict[int, tuple[Reviewer, float]] = {}
        self.said: dict[int, list[tuple[Reviewer, Word]]] = {}
        self.touched: dict[int, Reviewer] = {}
        self.spoken: dict[Reviewer, list[int]] = {person: [] for person in PEOPLE}
        self.skipped: set[tuple[Reviewer, int]] = set()
        self.offered = 0
        self.now_s = 0.0

    @rule()
    def a_frame_comes(self) -> None:
        if self.offered < 6:
            self.rig.inspect(inspection(self.offered, verdict=Verdict.REJECT))
            self.offered += 1

    @rule(seconds=st.sampled_from([1.0, LEASE_S - 1, LEASE_S]))
    def time_passes(self, seconds: float) -> None:
        self.rig.clock.advance(seconds)
        self.now_s += seconds

    @rule(person=people, count=counts)
    def claim(self, person: Reviewer, count: int) -> None:
        mine = [frame for frame in self.held if self.holder(frame) == person]
        free = [
            frame
            for frame in range(self.offered)
            if self.holder(frame) is None and not self.said.get(frame) and (person, frame) not in self.skipped
        ]
        given = [leased.source.offset for leased in self.rig.queue.claim(person, Wanted(), count=count)]
        kept = given[: min(count, len(mine))]
        assert set(kept) <= set(mine)
        assert given[len(kept) :] == free[: count - len(kept)]
        self.held |= dict.fromkeys(given, (person, self.now_s + LEASE_S))

    @rule(person=people, frame=frames, word=all_words)
    def judge(self, person: Reviewer, frame: int, word: Word) -> None:
        source = Position("images", 0, frame)
        if self.leased_to(frame) == person:
            self.rig.desk.judge(person, source, word)
            self.speak(person, frame, word)
        elif self.is_repeated(person, frame, word):
            before = len(self.rig.sent())
            self.rig.desk.judge(person, source, word)
            assert len(self.rig.sent()) == before
        else:
            with pytest.raises(LeaseLost):
                self.rig.desk.judge(person, source, word)

    @rule(person=people, frame=frames, word=all_words)
    def say(self, person: Reviewer, frame: int, word: Word) -> None:
        if frame < self.offered:
            self.rig.desk.say(person, Position("images", 0, frame), word)
            self.speak(person, frame, word)

    @rule(person=people, frame=frames)
    def skip(self, person: Reviewer, frame: int) -> None:
        with self.refused_unless(self.leased_to(frame) == person, LeaseLost):
            self.rig.queue.skip(person, Position("images", 0, frame))
            self.skipped.add((person, frame))
            del self.held[frame]

    @rule(person=people)
    def undo(self, person: Reviewer) -> None:
        last = self.spoken[person][-1] if self.spoken[person] else None
        free = last is not None and self.holder(last) in {None, person}
        can = free and last is not None and self.said[last][-1][0] == person and self.touched[last] == person
        with self.refused_unless(can, CannotUndo):
            self.rig.desk.undo(person)
            assert last is not None
            self.spoken[person].pop()
            self.said[last].pop()
            self.touched[last] = person
            self.held[last] = (person, self.now_s + LEASE_S)

    @rule(person=people)
    def renew(self, person: Reviewer) -> None:
        mine = [frame for frame in self.held if self.holder(frame) == person]
        assert self.rig.queue.renew(person) == len(mine)
        self.held |= dict.fromkeys(mine, (person, self.now_s + LEASE_S))

    @rule(person=people)
    def release(self, person: Reviewer) -> None:
        self.rig.queue.release(person)
        self.held = {frame: lease for frame, lease in self.held.items() if lease[0] != person}

    @rule()
    def topic_comes_back(self) -> None:
        sent = self.rig.sent()
        self.rig.hear(*sent[self.rig.heard :])
        self.rig.fill()

    @invariant()
    def counts_are_those_of_the_model(self) -> None:
        unsaid = [frame for frame in range(self.offered) if not self.said.get(frame)]
        for person in PEOPLE:
            left = self.rig.queue.left(person, Wanted())
            assert left.open == len(unsaid)
            assert left.leased_by_others == sum(self.holder(frame) not in {None, person} for frame in unsaid)
            assert left.skipped == sum((person, frame) in self.skipped for frame in unsaid)

    @invariant()
    def last_words_are_those_of_the_model(self) -> None:
        with self.database.reading() as connection:
            last = last_words(connection, line="A", since_us=0)
        assert set(last) == {Position("images", 0, frame) for frame in self.touched}
        for frame in self.touched:
            expected = self.said[frame][-1][1] if self.said[frame] else Word(Judgement.UNSURE)
            word = last[Position("images", 0, frame)]
            assert (word.verdict, word.kind) == (expected.verdict, expected.kind)

    def teardown(self) -> None:
        sent = self.rig.sent()
        assert len({(one.source, one.accepted_at, one.accepted_by) for one in sent}) == len(sent)
        assert all(one.accepted_at >= NOON for one in sent)

    def holder(self, frame: int) -> Reviewer | None:
        person, until_s = self.held.get(frame, (None, 0.0))
        return person if until_s > self.now_s else None

    def leased_to(self, frame: int) -> Reviewer | None:
        """Who had the lease last: also an expired one counts until somebody else gets the frame."""
        return self.held.get(frame, (None, 0.0))[0]

    def is_repeated(self, person: Reviewer, frame: int, word: Word) -> bool:
        if not self.spoken[person] or self.spoken[person][-1] != frame:
            return False
        mine = [said for speaker, said in self.said[frame] if speaker == person]
        return mine[-1] == word

    def speak(self, person: Reviewer, frame: int, word: Word) -> None:
        self.said.setdefault(frame, []).append((person, word))
        self.touched[frame] = person
        self.spoken[person].append(frame)
        self.held.pop(frame, None)

    @contextmanager
    def refused_unless(self, allowed: bool, error: type[Exception]) -> Iterator[None]:
        if allowed:
            yield
        else:
            with pytest.raises(error):
                yield


def test_reviewers_in_any_order_of_steps(database: Database) -> None:
    class Machine(ReviewMachine):
        pass

    Machine.database = database
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=40, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
