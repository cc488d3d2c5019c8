from hypothesis import given
from hypothesis import strategies as st

from qc_worker.domain.frame import Partition, Position
from qc_worker.engine.intake import MAX_CRASHES
from qc_worker.transport.kafka.group.suspects import CrashNote, Suspects, decode_note, note_after_crash

PARTITION = Partition("images", 0)
REACH = 8
NOTES = st.builds(CrashNote, worker=st.text(max_size=20), crashes=st.integers(0, 9), until=st.integers(0, 1 << 40))


@given(note=NOTES)
def test_a_note_survives_the_way_over_the_broker(note: CrashNote) -> None:
    assert decode_note(note.encode()) == note


def test_a_note_stays_readable_for_workers_of_other_versions() -> None:
    assert CrashNote("w", crashes=1, until=7).encode() == '{"qc": 1, "worker": "w", "crashes": 1, "until": 7}'


@given(metadata=st.none() | st.text() | st.sampled_from(["{}", "[]", "1", '{"qc": 2}', '{"qc": 1, "worker": 3}']))
def test_metadata_of_others_is_no_note(metadata: str | None) -> None:
    assert decode_note(metadata) is None


class Broker:
    """Keeps what was committed last, and lets workers die over the poisonous frames."""

    def __init__(self, frames: int, poison: set[int]) -> None:
        self.frames = frames
        self.poison = poison
        self.offset = 0
        self.note: CrashNote | None = None
        self.judged: list[int] = []
        self.refused: list[int] = []
        self.crashes = 0

    def run_worker(self, name: str) -> bool:
        """Live until all is judged (True) or a frame kills us (False)."""
        suspects = Suspects(name)
        inherited = note_after_crash(self.note, self.offset, reach=REACH, end=self.frames) if self.note else None
        self.note = suspects.start_reading(PARTITION, self.offset, inherited)
        while self.offset < self.frames:
            count = 1 if suspects.remain() else REACH
            batch = range(self.offset, min(self.offset + count, self.frames))
            doomed = {offset for offset in batch if suspects.crashes(Position(*PARTITION, offset)) >= MAX_CRASHES}
            if self.poison & set(batch) - doomed:
                self.crashes += 1
                return False
            self.refused += sorted(doomed)
            self.judged += [offset for offset in batch if offset not in doomed]
            self.offset = batch[-1] + 1
            self.note = suspects.note_at(PARTITION, self.offset)
            suspects.mark_committed({PARTITION: self.offset})
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


def test_frames_that_came_after_a_crash_are_no_suspects() -> None:
    suspects = Suspects("two")
    suspects.start_reading(PARTITION, 5, note_after_crash(CrashNote("one"), 5, reach=REACH, end=7))
    assert suspects.ends() == {PARTITION: 7}
    assert [suspects.crashes(Position(*PARTITION, offset)) for offset in (5, 6, 7)] == [1, 1, 0]
    suspects.mark_committed({PARTITION: 6})
    suspects.clear(PARTITION)  # nothing but marks of transactions up to 7
    assert not suspects.remain()


def test_a_worker_that_leaves_in_order_leaves_no_note_unless_suspects_remain() -> None:
    suspects = Suspects("one")
    suspects.start_reading(PARTITION, 5, None)
    assert suspects.notes_on_leaving() == {PARTITION: (5, None)}
    suspects.start_reading(PARTITION, 5, CrashNote("dead", crashes=2, until=9))
    assert suspects.remain()
    assert suspects.notes_on_leaving() == {PARTITION: (5, CrashNote("", crashes=2, until=9))}
    suspects.mark_committed({PARTITION: 9})
    assert not suspects.remain()
    suspects.forget([PARTITION])
    assert suspects.notes_on_leaving() == {}


def test_a_worker_that_leaves_commits_nothing_where_its_last_commit_is_uncertain() -> None:
    suspects = Suspects("one")
    other = Partition("images", 1)
    for partition in (PARTITION, other):
        suspects.start_reading(partition, 5, None)
    suspects.mark_uncertain([PARTITION])
    assert suspects.notes_on_leaving() == {other: (5, None)}
    suspects.mark_committed({PARTITION: 9})
    assert suspects.notes_on_leaving() == {PARTITION: (9, None), other: (5, None)}


def test_uncertainty_ends_when_the_committed_offset_is_looked_up_again() -> None:
    suspects = Suspects("one")
    suspects.start_reading(PARTITION, 5, None)
    suspects.forget([PARTITION])
    suspects.mark_uncertain([PARTITION])  # it was taken away while the transaction was under way
    suspects.start_reading(PARTITION, 9, None)
    assert suspects.notes_on_leaving() == {PARTITION: (9, None)}
