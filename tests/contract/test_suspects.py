"""Suspects: frames that were in flight with a dead worker."""

from tests.conftest import unique
from tests.contract.frame_sources import die, joined, poll_records, split
from tests.contract.rigs import PARTITIONS, KafkaRig, frame


def test_frames_in_flight_when_a_worker_dies_are_tried_one_at_a_time(apache_rig: KafkaRig) -> None:
    group = unique("group")
    first, *_ = [frame(apache_rig, b"frame") for _ in range(4)]
    one = joined(apache_rig, group)
    assert {record.crashes for record in poll_records(one, 4)} == {0}
    assert not one.has_suspects()
    die(one)
    two = joined(apache_rig, group)
    (suspect,) = poll_records(two, 1)
    assert (suspect.position, suspect.crashes) == (first, 1)
    assert two.has_suspects()
    two.commit({first.topic_partition: first.offset + 1})
    (suspect,) = poll_records(two, 1)
    assert (suspect.position.offset, suspect.crashes) == (first.offset + 1, 1)
    die(two)
    three = joined(apache_rig, group)
    (suspect,) = poll_records(three, 1)
    assert (suspect.position.offset, suspect.crashes) == (first.offset + 1, 2)
    three.close()  # in order: nobody died of it
    four = joined(apache_rig, group)
    (suspect,) = poll_records(four, 1)
    assert (suspect.position.offset, suspect.crashes) == (first.offset + 1, 2)


def test_frames_after_the_suspects_wait_until_every_partition_is_cleared(apache_rig: KafkaRig) -> None:
    group = unique("group")
    suspects = {frame(apache_rig, b"suspect", partition=partition) for partition in range(PARTITIONS)}
    one = joined(apache_rig, group)
    poll_records(one, PARTITIONS)
    die(one)
    two = joined(apache_rig, group)
    tried = list(poll_records(two, 1))  # looked up now, so what comes later is known to have killed nobody
    after = {frame(apache_rig, b"after", partition=tried[0].position.partition) for _ in range(3)}
    while len(tried) < PARTITIONS:
        two.commit({tried[-1].position.topic_partition: tried[-1].position.offset + 1})
        tried += poll_records(two, 1)
    assert {record.position for record in tried} == suspects
    two.commit({tried[-1].position.topic_partition: tried[-1].position.offset + 1})
    assert {record.position for record in poll_records(two, 3)} == after
    assert not two.has_suspects()


def test_suspects_go_along_when_the_group_gives_a_partition_to_another_worker(apache_rig: KafkaRig) -> None:
    group = unique("group")
    for partition in range(PARTITIONS):
        frame(apache_rig, b"suspect", partition=partition)
    dead = joined(apache_rig, group)
    poll_records(dead, PARTITIONS)
    die(dead)
    old = joined(apache_rig, group)
    for _ in range(PARTITIONS):  # each is looked up when its first frame comes
        (suspect,) = poll_records(old, 1)
        old.commit({suspect.position.topic_partition: suspect.position.offset})  # not judged yet
    new = split(apache_rig, group, old)
    (suspect,) = poll_records(new, 1)
    assert suspect.crashes == 1
    assert new.has_suspects()


def test_a_worker_that_left_in_order_leaves_no_suspects(apache_rig: KafkaRig) -> None:
    group = unique("group")
    frame(apache_rig, b"frame")
    one = joined(apache_rig, group)
    poll_records(one, 1)
    one.close()
    two = joined(apache_rig, group)
    (record,) = poll_records(two, 1)
    assert record.crashes == 0
    assert not two.has_suspects()


def test_a_worker_that_did_not_leave_in_order_is_taken_for_dead(apache_rig: KafkaRig) -> None:
    group = unique("group")
    frame(apache_rig, b"frame")
    one = joined(apache_rig, group)
    poll_records(one, 1)
    one.close(in_order=False)
    (record,) = poll_records(joined(apache_rig, group), 1)
    assert record.crashes == 1
