from hypothesis import given
from hypothesis import strategies as st

from qc_worker.domain.frame import Partition, Position
from qc_worker.engine.intake import MAX_CRASHES
from qc_worker.transport.kafka.group.suspects import Note, Trials, decode_note, left_by_the_dead

PARTITION = Partition("images", 0)
REACH = 8
NOTES = st.builds(Note, worker=st.text(max_size=20), crashes=st.integers(0, 9), until=st.integers(0, 1 << 40))


@given(note=NOTES)
def test_a_note_survives_the_way_over_the_broker(note: Note) -> None:
    assert decode_note(note.encode()) == note


@given(metadata=st.none() | st.text() | st.sampled_from(["{}", "[]", "1", '{"qc": 2}', '{"qc": 1, "worker": 3}']))
def test_metadata_of_others_is_no_note(metadata: str | None) -> None:
    assert decode_note(metadata) is None


class Broker:
    """Keeps what was committed last, and lets workers die over the poisonous frames."""

    def __init__(self, frames: int, poison: set[int]) -> None:
        self.frames = frames
        self.poison = poison
        self.offset = 0
        self.note: Note | None = None
        self.judged: list[int] = []
        self.refused: list[int] = []
        self.crashes = 0

    def run_worker(self, name: str) -> bool:
        """Live until all is judged (True) or a frame kills us (False)."""
        trials = Trials(name)
        inherited = left_by_the_dead(self.note, self.offset, reach=REACH, end=self.frames) if self.note else None
        self.note = trials.begin(PARTITION, self.offset, inherited)
        while self.offset < self.frames:
            count = 1 if trials.under_suspicion else REACH
            batch = range(self.offset, min(self.offset + count, self.frames))
            doomed = {offset for offset in batch if trials.crashes(Position(*PARTITION, offset)) >= MAX_CRASHES}
            if self.poison & set(batch) - doomed:
                self.crashes += 1
                return False
            self.refused += sorted(doomed)
            self.judged += [offset for offset in batch if offset not in doomed]
            self.offset = batch[-1] + 1
            self.note = trials.note_at(PARTITION, self.offset)
            trials.settle({PARTITION: self.offset})
        return True


@given(frames=st.integers(1, 40), poison=st.sets(st.integers(0, 39), max_size=4))
def test_every_poisonous_frame_is_found_and_no_other_is_blamed(frames: int, poison: set[int]) -> None:
    broker = Broker(frames, {offset for offset in poison if offset < frames})
    lives = 0
    while not broker.run_worker(f"worker {lives}"):
        lives += 1
        assert lives <= MAX_CRASHES * len(poison)
    assert broker.refused == sorted(broker.poison)
    assert broker.judged == [offset for offset in range(frames) if offset not in broker.poison]


def test_frames_that_came_after_a_death_are_above_suspicion() -> None:
    trials = Trials("two")
    trials.begin(PARTITION, 5, left_by_the_dead(Note("one"), 5, reach=REACH, end=7))
    assert trials.suspects() == {PARTITION: 7}
    assert [trials.crashes(Position(*PARTITION, offset)) for offset in (5, 6, 7)] == [1, 1, 0]
    trials.settle({PARTITION: 6})
    trials.absolve(PARTITION)  # nothing but marks of transactions up to 7
    assert not trials.under_suspicion


def test_a_worker_that_leaves_in_order_leaves_no_note_but_open_suspicions() -> None:
    trials = Trials("one")
    trials.begin(PARTITION, 5, None)
    assert trials.parting() == {PARTITION: (5, None)}
    trials.begin(PARTITION, 5, Note("dead", crashes=2, until=9))
    assert trials.under_suspicion
    assert trials.parting() == {PARTITION: (5, Note("", crashes=2, until=9))}
    trials.settle({PARTITION: 9})
    assert not trials.under_suspicion
    trials.forget([PARTITION])
    assert trials.parting() == {}


def test_a_worker_that_leaves_in_doubt_commits_nothing_there() -> None:
    trials = Trials("one")
    other = Partition("images", 1)
    for partition in (PARTITION, other):
        trials.begin(partition, 5, None)
    trials.doubt([PARTITION])
    assert trials.parting() == {other: (5, None)}
    trials.settle({PARTITION: 9})
    assert trials.parting() == {PARTITION: (9, None), other: (5, None)}


def test_doubt_ends_when_the_committed_offset_is_looked_up_anew() -> None:
    trials = Trials("one")
    trials.begin(PARTITION, 5, None)
    trials.forget([PARTITION])
    trials.doubt([PARTITION])  # it was taken away while the transaction was under way
    trials.begin(PARTITION, 9, None)
    assert trials.parting() == {PARTITION: (9, None)}
