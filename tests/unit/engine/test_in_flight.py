from itertools import count

from hypothesis import given
from hypothesis import strategies as st

from qc_worker.domain.frame import Partition
from qc_worker.engine.in_flight import InFlight, Ticket
from tests import factories


def in_flight(max_frames: int = 100, max_bytes: int = 10**9, max_frame_bytes: int = 10**6) -> InFlight:
    return InFlight(max_frames=max_frames, max_bytes=max_bytes, max_frame_bytes=max_frame_bytes)


def settle(ticket: Ticket) -> None:
    ticket.outcome = factories.outcome(ticket.record)


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
        for shard, offset in committable.offsets.items():
            assert offset == published[shard.partition][-1] + 1
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
    lost = frames.admit(factories.record(0, partition=0, content=b"x"), 0.0)
    kept = frames.admit(factories.record(0, partition=1, content=b"x"), 0.0)
    assert frames.drop([Partition("images", 0)]) == 1
    settle(lost)
    settle(kept)
    assert frames.committable().tickets == (kept,)
    assert (frames.frames, frames.bytes) == (1, 1)


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


@given(polls=st.lists(st.lists(st.integers(0, 1000), max_size=30), max_size=20), data=st.data())
def test_frames_and_bytes_never_exceed_the_limits(polls: list[list[int]], data: st.DataObject) -> None:
    frames, offsets = in_flight(max_frames=20, max_bytes=5000, max_frame_bytes=1000), count()
    tickets: list[Ticket] = []
    for sizes in polls:
        for size in sizes[: frames.room_frames]:  # a poll gives as many as were asked for, admitted one after another
            tickets.append(frames.admit(factories.record(next(offsets), content=bytes(size)), 0.0))
        assert frames.frames <= 20
        assert frames.bytes <= 5000
        for ticket in data.draw(st.sets(st.sampled_from(tickets))) if tickets else ():
            settle(ticket)
        frames.retire(frames.committable())


def test_an_empty_worker_has_room_for_a_frame_larger_than_all_its_bytes() -> None:
    assert in_flight(max_bytes=10, max_frame_bytes=1000).room_frames == 1
