from qc_dashboard.api.live.group_past import GroupPast
from qc_worker.domain.frame import Partition
from qc_worker.ports.groups import GroupState

LOOK_S = 3


def state(members: int, settled: int, end: int) -> GroupState:
    partition = Partition("images", 0)
    return GroupState(members, {partition: settled}, {partition: end})


def looked(past: GroupPast, since_s: int, until_s: int, members: int) -> None:
    for now_s in range(since_s, until_s, LOOK_S):
        past.add(now_s, state(members, now_s, now_s))


def test_usual_number_of_workers_is_known_after_a_minute() -> None:
    past = GroupPast()
    looked(past, 0, 60, 3)
    assert past.usual_size() is None
    looked(past, 60, 120, 3)
    assert past.usual_size() == 3
    looked(past, 120, 240, 2)
    assert past.usual_size() == 3


def test_worker_that_was_killed_and_replaced_does_not_count_twice() -> None:
    past = GroupPast()
    looked(past, 0, 120, 2)
    looked(past, 120, 165, 3)  # until the session of the dead one times out
    looked(past, 165, 300, 2)
    assert past.usual_size() == 2


def test_workers_that_were_stopped_for_good_are_forgotten() -> None:
    past = GroupPast()
    looked(past, 0, 120, 3)
    looked(past, 120, 120 + 3600, 2)
    assert past.usual_size() == 3
    looked(past, 120 + 3600, 120 + 3700, 2)
    assert past.usual_size() == 2


def test_time_that_the_oldest_frame_waits_counts_from_when_it_was_seen() -> None:
    past = GroupPast()
    past.add(0, state(1, 10, 10))
    assert past.oldest_waits_s(1) == 0
    past.add(10, state(1, 10, 15))
    past.add(20, state(1, 12, 30))
    assert past.oldest_waits_s(25) == 15
    past.add(30, state(1, 16, 40))  # those of the first look are judged
    assert past.oldest_waits_s(35) == 15
    past.add(40, state(1, 40, 40))
    assert past.oldest_waits_s(45) == 0


def test_mark_of_a_transaction_behind_the_last_frame_does_not_wait() -> None:
    past = GroupPast()
    past.add(0, state(1, 10, 11))
    assert past.oldest_waits_s(100) == 0


def test_frames_that_arrive_are_counted_over_half_a_minute() -> None:
    past = GroupPast()
    past.add(0, state(1, 0, 100))
    assert past.arriving_per_s() is None
    for now_s in range(3, 63, 3):
        past.add(now_s, state(1, 0, 100 + 50 * now_s))
    assert past.arriving_per_s() == 50
    past.add(93, state(1, 0, 100 + 50 * 60))
    assert past.arriving_per_s() == 0


def test_topic_that_was_made_again_has_no_negative_rate() -> None:
    past = GroupPast()
    past.add(0, state(1, 0, 100))
    past.add(3, state(1, 0, 5))
    assert past.arriving_per_s() == 0
