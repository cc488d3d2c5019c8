import threading
from dataclasses import dataclass, replace

from hypothesis import given
from hypothesis import strategies as st

from qc_worker.engine.batcher import BATCHES_UNDER_WAY, Batcher, BatchQueue
from qc_worker.ports.clock import Clock
from qc_worker.runtime.clock import SystemClock
from qc_worker.simplenet.spec import BackbonePass
from tests.support.factories import ManualClock

SMALL = BackbonePass("b", "0" * 64, (8, 16), 3, (256, 256), 8)
LARGE = replace(SMALL, input_size=(512, 512))


@dataclass(frozen=True)
class Waiting:
    number: int
    backbone_pass: BackbonePass = SMALL
    due_at: float | None = None
    is_void: bool = False

    def skip_if_void(self) -> bool:
        return self.is_void


def test_a_full_batch_is_due_at_once() -> None:
    batcher = Batcher[Waiting](max_size=2, max_wait_s=10)
    batcher.add(Waiting(1), 0.0)
    assert batcher.take(0.0) == []
    batcher.add(Waiting(2), 0.0)
    assert [frame.number for frame in batcher.take(0.0)] == [1, 2]


def test_a_frame_waits_no_longer_than_max_wait() -> None:
    batcher = Batcher[Waiting](max_size=8, max_wait_s=0.5)
    batcher.add(Waiting(1), 1.0)
    assert batcher.take(1.49) == []
    assert batcher.seconds_until_due(1.25) == 0.25
    assert [frame.number for frame in batcher.take(1.5)] == [1]


def test_a_batch_is_closed_early_for_a_deadline() -> None:
    batcher = Batcher[Waiting](max_size=8, max_wait_s=10)
    batcher.took(SMALL, 0.5)
    batcher.add(Waiting(1), 0.0)
    batcher.add(Waiting(2, due_at=3.0), 0.0)
    assert batcher.seconds_until_due(0.0) == 2.5
    assert batcher.take(2.4) == []
    assert [frame.number for frame in batcher.take(2.5)] == [1, 2]


def test_a_frame_past_its_deadline_is_due_at_once_and_never_dropped() -> None:
    batcher = Batcher[Waiting](max_size=8, max_wait_s=10)
    batcher.add(Waiting(1, due_at=1.0), 5.0)
    assert [frame.number for frame in batcher.take(5.0)] == [1]


@given(durations=st.lists(st.floats(0.01, 10), min_size=1, max_size=30))
def test_it_learns_how_long_a_batch_takes(durations: list[float]) -> None:
    batcher = Batcher[Waiting](max_size=8, max_wait_s=1000)
    for seconds in durations:
        batcher.took(SMALL, seconds)
    batcher.add(Waiting(1, due_at=100.0), 0.0)
    left_for_the_batch = 100.0 - (batcher.seconds_until_due(0.0) or 0.0)
    assert min(durations) - 1e-9 <= left_for_the_batch <= max(durations) + 1e-9


def test_frames_that_cannot_share_a_backbone_pass_are_not_in_one_batch() -> None:
    batcher = Batcher[Waiting](max_size=2, max_wait_s=0)
    batcher.add(Waiting(1), 0.0)
    batcher.add(Waiting(2, LARGE), 0.1)
    assert [frame.number for frame in batcher.take(1.0)] == [1]
    assert [frame.number for frame in batcher.take(1.0)] == [2]


def test_the_batch_that_waits_longest_goes_first() -> None:
    batcher = Batcher[Waiting](max_size=2, max_wait_s=0.1)
    batcher.add(Waiting(1, LARGE), 0.0)
    batcher.add(Waiting(2), 0.05)
    batcher.add(Waiting(3), 0.05)
    assert [frame.number for frame in batcher.take(0.2)] == [1]


def test_a_tiled_frame_counts_as_its_tiles() -> None:
    tiled = replace(SMALL, input_size=(512, 512), tiles=2)
    assert tiled.tiles_per_frame == 4
    batcher = Batcher[Waiting](max_size=8, max_wait_s=10)
    for number in range(3):
        assert batcher.take(0.0) == []
        batcher.add(Waiting(number, tiled), 0.0)
        if number == 1:
            assert [frame.number for frame in batcher.take(0.0)] == [0, 1]
    assert [frame.number for frame in batcher.take(10.0)] == [2]


def test_a_frame_of_more_tiles_than_a_batch_has_room_for_is_a_batch_of_its_own() -> None:
    batcher = Batcher[Waiting](max_size=3, max_wait_s=10)
    for number in range(2):
        batcher.add(Waiting(number, replace(SMALL, input_size=(512, 512), tiles=2)), 0.0)
    assert [[frame.number for frame in batcher.take(0.0)] for _ in range(2)] == [[0], [1]]


def test_an_empty_batcher_is_never_due() -> None:
    assert Batcher[Waiting](max_size=1, max_wait_s=0).seconds_until_due(0.0) is None


@given(specs=st.lists(st.sampled_from([SMALL, LARGE]), max_size=50), size=st.integers(1, 9))
def test_every_frame_leaves_once_and_in_order_among_its_like(specs: list[BackbonePass], size: int) -> None:
    batcher = Batcher[Waiting](max_size=size, max_wait_s=1)
    for number, spec in enumerate(specs):
        batcher.add(Waiting(number, spec), float(number))
    batches = []
    while batch := batcher.take(1e9):
        assert len(batch) <= size
        assert len({frame.backbone_pass for frame in batch}) == 1
        batches.append(batch)
    for spec in (SMALL, LARGE):
        left = [frame.number for batch in batches for frame in batch if frame.backbone_pass == spec]
        assert left == [number for number, other in enumerate(specs) if other == spec]
    assert len(batcher) == 0


def test_frames_that_nobody_wants_any_more_take_no_place_in_a_batch() -> None:
    batcher = Batcher[Waiting](max_size=2, max_wait_s=10)
    for number in range(7):
        batcher.add(Waiting(number, is_void=number < 4), 0.0)
    assert [frame.number for frame in batcher.take(0.0)] == [4, 5]
    assert len(batcher) == 1


def test_a_batch_of_which_nothing_is_wanted_is_none() -> None:
    batches = BatchQueue(Batcher[Waiting](max_size=2, max_wait_s=60), SystemClock())
    for number in range(4):
        batches.add(Waiting(number, is_void=number < 2))
    assert [frame.number for frame in batches.take()] == [2, 3]


class Taker:
    """Takes one batch in a thread of its own."""

    def __init__(self, batches: BatchQueue[Waiting]) -> None:
        self._taken: list[list[Waiting]] = []
        self._thread = threading.Thread(target=lambda: self._taken.append(batches.take()), daemon=True)
        self._thread.start()

    def numbers(self) -> list[int]:
        self._thread.join(10)
        assert self._taken, "no batch was taken"
        return [frame.number for frame in self._taken[0]]

    def still_waits(self) -> bool:
        return not self._taken


def taken(batches: BatchQueue[Waiting]) -> list[int]:
    return Taker(batches).numbers()


def busy_batches(clock: Clock, *, max_size: int = 4) -> BatchQueue[Waiting]:
    """Return a queue with as many batches under way as keep the device busy."""
    batches = BatchQueue(Batcher[Waiting](max_size=max_size, max_wait_s=60), clock)
    for number in range(-BATCHES_UNDER_WAY, 0):
        batches.add(Waiting(number))
        assert taken(batches) == [number]
    return batches


def test_no_frame_waits_beside_an_idle_device() -> None:
    clock = ManualClock()
    batches = BatchQueue(Batcher[Waiting](max_size=8, max_wait_s=60), clock)
    batches.add(Waiting(1))
    assert taken(batches) == [1]
    batches.add(Waiting(2))
    batches.add(Waiting(3))
    assert taken(batches) == [2, 3]
    assert clock.seconds == 0


def test_a_frame_waits_for_others_while_the_device_is_busy() -> None:
    batches = busy_batches(ManualClock())
    batches.add(Waiting(1))
    taker = Taker(batches)
    batches.add(Waiting(2))
    assert taker.still_waits()
    batches.add(Waiting(3))
    batches.add(Waiting(4))
    assert taker.numbers() == [1, 2, 3, 4]


def test_a_batch_closes_when_another_is_finished() -> None:
    batches = busy_batches(ManualClock())
    batches.add(Waiting(1))
    batches.add(Waiting(2))
    taker = Taker(batches)
    assert taker.still_waits()
    batches.finish()
    assert taker.numbers() == [1, 2]


def test_a_busy_device_does_not_delay_a_deadline_or_the_maximum_wait() -> None:
    clock = ManualClock()
    batches = busy_batches(clock)
    batches.took(SMALL, 0.5)
    batches.add(Waiting(1, due_at=1.0))
    clock.advance(0.5)
    assert taken(batches) == [1]
    batches.add(Waiting(2))
    clock.advance(60)
    assert taken(batches) == [2]


def test_a_batch_that_is_due_goes_before_one_that_only_fills_an_idle_device() -> None:
    batcher = Batcher[Waiting](max_size=2, max_wait_s=10)
    batcher.add(Waiting(1, LARGE), 0.0)
    batcher.add(Waiting(2), 0.1)
    batcher.add(Waiting(3), 0.1)
    assert [frame.number for frame in batcher.take(0.2, idle=True)] == [2, 3]
    assert [frame.number for frame in batcher.take(0.2, idle=True)] == [1]


def test_void_frames_do_not_delay_those_behind_them() -> None:
    batches = BatchQueue(Batcher[Waiting](max_size=2, max_wait_s=60), ManualClock())
    for number in range(3):
        batches.add(Waiting(number, is_void=number < 2))
    assert taken(batches) == [2]


def test_a_waiting_taker_gets_a_frame_as_soon_as_it_comes() -> None:
    batches = BatchQueue(Batcher[Waiting](max_size=2, max_wait_s=60), SystemClock())
    taker = Taker(batches)
    batches.add(Waiting(1))
    assert taker.numbers() == [1]


def test_a_waiting_taker_is_let_go_on_close() -> None:
    batches = BatchQueue(Batcher[Waiting](max_size=2, max_wait_s=60), ManualClock())
    taker = Taker(batches)
    batches.close()
    assert taker.numbers() == []
