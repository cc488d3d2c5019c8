from dataclasses import replace
from itertools import count

from hypothesis import given
from hypothesis import strategies as st

from qc_worker.domain.errors import InvalidFrame, Reason
from qc_worker.domain.frame import Partition, Record
from qc_worker.engine.in_flight import InFlight, Ticket
from qc_worker.engine.intake import failure
from tests.support import factories

LARGEST_BYTES = 2000
"""Of a test's record, key and headers included."""


def in_flight(max_frames: int = 100, max_bytes: int = 10**9, max_record_bytes: int = 10**6) -> InFlight:
    return InFlight(max_frames=max_frames, max_bytes=max_bytes, max_record_bytes=max_record_bytes)


def sized(offset: int, size_bytes: int, *, partition: int = 0) -> Record:
    """A record of that size in all, with key and headers."""
    bare = replace(factories.record(offset, partition=partition, content=b""), headers=(("line", b"A"),), key=b"A")
    return replace(bare, content=bytes(max(0, size_bytes - len("lineAA"))))


def settle(ticket: Ticket) -> None:
    ticket.settle(factories.outcome(ticket.record))


def fail(ticket: Ticket) -> Ticket:
    ticket.settle(failure(ticket, InvalidFrame(Reason.TOO_LARGE, "too large"), factories.ManualClock()))
    return ticket


def offsets_of(tickets: tuple[Ticket, ...]) -> list[int]:
    return [ticket.record.position.offset for ticket in tickets]


def test_frames_behind_an_open_one_are_not_committable() -> None:
    frames = in_flight()
    tickets = [frames.admit(factories.record(offset, content=b"x"), 0.0) for offset in range(3)]
    settle(tickets[0])
    settle(tickets[2])
    assert offsets_of(frames.committable().tickets) == [0]
    assert frames.committable().offsets == {Partition("images", 0): 1}


@given(order=st.permutations(list(range(12))), partitions=st.integers(1, 4))
def test_every_frame_is_published_once_and_in_order_whatever_order_they_finish_in(
    order: list[int], partitions: int
) -> None:
    frames = in_flight()
    tickets = [
        frames.admit(factories.record(n // partitions, partition=n % partitions, content=b"x"), 0.0) for n in range(12)
    ]
    published: dict[int, list[int]] = {}
    for finished in order:
        settle(tickets[finished])
        committable = frames.committable()
        for ticket in committable.tickets:
            position = ticket.record.position
            published.setdefault(position.partition, []).append(position.offset)
        for partition, offset in committable.offsets.items():
            assert offset == published[partition.partition][-1] + 1
        frames.retire(committable)
    assert all(offsets == list(range(len(offsets))) for offsets in published.values())
    assert sum(map(len, published.values())) == 12
    assert (frames.frames, frames.bytes) == (0, 0)


def test_committable_frames_stay_until_they_are_retired() -> None:
    frames = in_flight()
    settle(frames.admit(factories.record(0, content=b"x"), 0.0))
    assert frames.committable().tickets == frames.committable().tickets
    frames.retire(frames.committable())
    assert frames.committable().tickets == ()


def test_frames_of_a_lost_partition_are_never_published() -> None:
    frames = in_flight()
    lost = frames.admit(factories.record(0, partition=0), 0.0)
    kept = frames.admit(factories.record(0, partition=1), 0.0)
    assert frames.drop([Partition("images", 0)]) == 1
    settle(lost)
    settle(kept)
    assert frames.committable().tickets == (kept,)


def test_frames_of_a_lost_partition_count_until_the_pipeline_has_let_go_of_them() -> None:
    frames = in_flight()
    waiting, judged, settled = (frames.admit(sized(offset, 100), 0.0) for offset in range(3))
    settle(settled)
    frames.drop([Partition("images", 0)])
    assert (frames.frames, frames.bytes) == (2, 200)
    assert waiting.skip_if_void()
    frames.forget_skipped()
    assert (frames.frames, frames.bytes) == (1, 100)
    settle(judged)
    frames.forget_skipped()
    assert (frames.frames, frames.bytes) == (0, 0)


def test_a_frame_that_is_wanted_is_never_skipped() -> None:
    ticket = in_flight().admit(factories.record(0), 0.0)
    assert not ticket.skip_if_void()


def test_a_frame_delivered_again_makes_its_first_ticket_void() -> None:
    frames = in_flight()
    first = [frames.admit(sized(offset, 100), 0.0) for offset in range(2)]
    again = frames.admit(sized(0, 100), 1.0)
    assert [ticket.skip_if_void() for ticket in (*first, again)] == [True, True, False]
    frames.forget_skipped()
    assert (frames.frames, frames.bytes) == (1, 100)


def test_a_frame_polled_again_is_not_settled_by_its_first_ticket() -> None:
    frames = in_flight()
    first = frames.admit(factories.record(0, content=b"x"), 0.0)
    frames.drop([Partition("images", 0)])
    frames.admit(factories.record(0, content=b"x"), 0.0)
    settle(first)
    assert frames.committable().tickets == ()


def test_retiring_after_a_partition_was_lost_does_not_count_twice() -> None:
    frames = in_flight()
    settle(frames.admit(factories.record(0, content=b"x"), 0.0))
    committable = frames.committable()
    frames.drop([Partition("images", 0)])
    frames.retire(committable)
    assert (frames.frames, frames.bytes) == (0, 0)


@given(polls=st.lists(st.lists(st.integers(0, LARGEST_BYTES), max_size=30), max_size=20), data=st.data())
def test_frames_and_bytes_never_exceed_the_limits_whatever_is_lost(polls: list[list[int]], data: st.DataObject) -> None:
    frames, offsets = in_flight(max_frames=20, max_bytes=5000, max_record_bytes=LARGEST_BYTES), count()
    held: list[Ticket] = []  # by the pipeline
    for sizes in polls:
        for size in sizes[: frames.room_frames]:  # a poll gives as many as were asked for, admitted one after another
            held.append(frames.admit(sized(next(offsets), size), 0.0))
        assert len(held) <= frames.frames <= 20
        assert sum(len(ticket.record.content) for ticket in held) <= frames.bytes <= 5000
        if data.draw(st.booleans()):
            frames.drop([Partition("images", 0)])
        for ticket in data.draw(st.sets(st.sampled_from(held))) if held else ():
            if not ticket.skip_if_void():
                settle(ticket)
            held.remove(ticket)
        frames.forget_skipped()
        frames.retire(frames.committable())


def test_a_record_counts_with_its_headers() -> None:
    frames = in_flight()
    frames.admit(replace(factories.record(0, content=b""), headers=(("line", bytes(1000)),)), 0.0)
    assert frames.bytes > 1000


def test_an_empty_worker_has_room_for_a_frame_larger_than_all_its_bytes() -> None:
    assert in_flight(max_bytes=10, max_record_bytes=1000).room_frames == 1


def test_dead_letters_are_published_as_many_at_once_as_fit_but_at_least_one() -> None:
    frames = in_flight()
    tickets = [fail(frames.admit(sized(offset, 100), 0.0)) for offset in range(5)]
    for max_bytes, left in ((250, tickets), (99, tickets[2:]), (1000, tickets[3:])):
        published = frames.committable(max_bytes).tickets
        assert published == tuple(left[: max(1, max_bytes // 100)])
        frames.retire(frames.committable(max_bytes))
    assert frames.frames == 0


def test_inspections_are_published_however_large_their_frames_are() -> None:
    frames = in_flight()
    for offset in range(5):
        settle(frames.admit(sized(offset, 100), 0.0))
    assert len(frames.committable(max_bytes=1).tickets) == 5


def test_no_partition_waits_behind_younger_dead_letters_of_another() -> None:
    frames = in_flight()
    old, between, young = ((0, 0, 1.0), (1, 0, 2.0), (0, 1, 3.0))
    for partition, offset, polled_at in (old, between, young):
        fail(frames.admit(sized(offset, 100, partition=partition), polled_at))
    first = frames.committable(max_bytes=200)
    assert first.offsets == {Partition("images", 0): 1, Partition("images", 1): 1}


@given(order=st.permutations(list(range(12))), n_partitions=st.integers(1, 4), max_bytes=st.integers(1, 900))
def test_what_was_handed_out_is_handed_out_again_until_it_is_retired(
    order: list[int], n_partitions: int, max_bytes: int
) -> None:
    # Or a publishing that came through after all would be published once more, frame by frame.
    frames, offered = in_flight(), set[Ticket]()
    tickets = [
        frames.admit(sized(n // n_partitions, 100 + 10 * n, partition=n % n_partitions), float(n)) for n in range(12)
    ]
    for finished in order:
        fail(tickets[finished])
        again = frames.committable(max_bytes).tickets
        assert offered.issubset(again)
        offered = set(again)
        for partition in range(n_partitions):
            numbers = [one.record.position.offset for one in again if one.record.position.partition == partition]
            assert numbers == list(range(len(numbers)))
