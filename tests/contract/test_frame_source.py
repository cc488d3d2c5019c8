"""FrameSource: what every adapter keeps to."""

from collections.abc import Callable, Iterable, Sequence
from time import monotonic
from typing import Any

import pytest
from kafka import KafkaAdminClient, OffsetAndMetadata, TopicPartition
from kafka.admin import MemberToRemove
from kafka.errors import KafkaTimeoutError
from kafka.future import Future
from structlog.testing import capture_logs

from qc_worker.domain.errors import InvalidFrame, TransportError
from qc_worker.domain.frame import Partition, Record
from qc_worker.observability import metrics
from qc_worker.ports import FrameSource
from qc_worker.transport.kafka_config import open_client
from qc_worker.transport.kafka_records import to_topic_partition
from qc_worker.transport.kafka_source import KafkaFrameSource
from qc_worker.transport.outgoing import OutgoingRecord
from qc_worker.wire.images import decode_record
from tests.conftest import eventually, unique
from tests.contract.rigs import PARTITIONS, KafkaRig, Rig, frame


def joined(rig: Rig, group: str) -> FrameSource:
    """A member that has every partition."""
    source = rig.source(group)
    source.start()
    source.pause()  # so that no record is polled on the way
    eventually(lambda: not source.poll(timeout_s=0.2, max_records=1) and len(source.assignment()) == PARTITIONS)
    source.resume()
    return source


def poll_records(source: FrameSource, count: int) -> Sequence[Record]:
    """The next `count` records."""
    records: list[Record] = []

    def enough() -> bool:
        records.extend(source.poll(timeout_s=0.2, max_records=100))
        return len(records) >= count

    eventually(enough)
    return records


def poll_for(source: FrameSource, duration_s: float) -> Sequence[Record]:
    """Whatever comes within that time."""
    until_s = monotonic() + duration_s
    records: list[Record] = []
    while monotonic() < until_s:
        records += source.poll(timeout_s=0.05, max_records=100)
    return records


def test_records_arrive_in_offset_order_with_all_that_was_sent(rig: Rig) -> None:
    sent = [frame(rig, b"frame %d" % index, partition=index % 2, key=b"A/cam%d" % index) for index in range(6)]
    records = poll_records(joined(rig, unique("group")), 6)
    for partition in range(PARTITIONS):
        expected = [position for position in sent if position.partition == partition]
        assert [record.position for record in records if record.position.partition == partition] == expected
    first = next(record for record in records if record.position == sent[0])
    assert (first.key, first.content) == (b"A/cam0", b"frame 0")
    assert first.headers == (("line", b"A"), ("camera", b"cam1"))
    assert first.appended_at.tzinfo is not None


def test_uncommitted_records_are_delivered_again_after_close(rig: Rig) -> None:
    group = unique("group")
    position = frame(rig, b"frame")
    source = joined(rig, group)
    poll_records(source, 1)
    source.close()
    assert [record.position for record in poll_records(joined(rig, group), 1)] == [position]


def test_committed_records_are_not_delivered_again(rig: Rig) -> None:
    group = unique("group")
    first, second = frame(rig, b"first"), frame(rig, b"second")
    source = joined(rig, group)
    poll_records(source, 2)
    source.commit({first.shard: first.offset + 1})
    source.close()
    assert [record.position for record in poll_records(joined(rig, group), 1)] == [second]


def test_paused_source_returns_nothing_and_stays_a_member(rig: Rig) -> None:
    source = joined(rig, unique("group"))
    source.pause()
    position = frame(rig, b"frame")
    assert poll_for(source, 1.5 * rig.session_timeout_s) == []
    assert len(source.assignment()) == PARTITIONS
    assert source.take_lost() == frozenset()
    source.resume()
    assert [record.position for record in poll_records(source, 1)] == [position]


def test_pause_holds_for_partitions_assigned_later(rig: Rig) -> None:
    frame(rig, b"frame")
    source = rig.source(unique("group"))
    source.start()
    source.pause()
    eventually(lambda: not source.poll(timeout_s=0.2, max_records=1) and source.assignment())
    assert poll_for(source, 0.3) == []
    source.resume()
    assert len(poll_records(source, 1)) == 1


def test_two_members_split_the_partitions_and_each_goes_on_at_its_place(rig: Rig) -> None:
    group = unique("group")
    for partition in range(PARTITIONS):
        frame(rig, b"before", partition=partition)
    old = joined(rig, group)
    poll_records(old, PARTITIONS)
    assert old.take_lost() == frozenset()
    new = split(rig, group, old)
    assert old.assignment().isdisjoint(new.assignment())
    assert old.take_lost() == new.assignment()
    assert old.take_lost() == frozenset()
    # What the old member kept goes on after what it has polled; what it lost comes again, for it was not committed.
    (kept,), (moved,) = old.assignment(), new.assignment()
    after = frame(rig, b"after", partition=kept.partition)
    assert [record.position for record in poll_records(old, 1)] == [after]
    assert [(record.position.shard, record.content) for record in poll_records(new, 1)] == [(moved, b"before")]


def test_commit_leaves_out_partitions_of_others(rig: Rig) -> None:
    group = unique("group")
    shards = {frame(rig, b"frame", partition=partition).shard for partition in range(PARTITIONS)}
    old = joined(rig, group)
    poll_records(old, PARTITIONS)
    new = split(rig, group, old)
    new.pause()
    old.commit(dict.fromkeys(shards, 1))

    def settled() -> bool:
        # A commit during a rebalance is made up for by the polls that follow.
        for member in (old, new):
            member.poll(timeout_s=0.1, max_records=1)
        return 1 in rig.committed(group).values()

    eventually(settled)
    moved = {shard for shard, offset in rig.committed(group).items() if offset}
    assert moved == old.assignment()


def test_lag_counts_records_not_yet_polled(rig: Rig) -> None:
    for _ in range(3):
        frame(rig, b"frame")
    source = joined(rig, unique("group"))
    eventually(lambda: source.poll(timeout_s=0.2, max_records=1))
    assert source.lag_frames() == 2
    poll_records(source, 2)
    assert source.lag_frames() == 0


def test_a_frame_of_15_mb_arrives_whole(rig: Rig) -> None:
    content = bytes(range(256)) * (15 * 1024 * 1024 // 256)
    frame(rig, content)
    (record,) = poll_records(joined(rig, unique("group")), 1)
    assert record.content == content


def test_source_that_is_not_started_says_so(rig: Rig) -> None:
    source = rig.source(unique("group"))
    assert not source.reachable()
    with pytest.raises(TransportError, match="not started"):
        source.poll(timeout_s=0.1, max_records=1)


def test_started_source_is_reachable_until_closed(rig: Rig) -> None:
    source = joined(rig, unique("group"))
    assert source.reachable()
    source.close()
    assert not source.reachable()


def split(rig: Rig, group: str, old: FrameSource) -> FrameSource:
    """Add a member and wait until each has half of the partitions; polls no record."""
    new = rig.source(group)
    new.start()
    for member in (old, new):
        member.pause()
    half = PARTITIONS // 2

    def settled() -> bool:
        for member in (old, new):
            assert not member.poll(timeout_s=0.1, max_records=1)
        return len(old.assignment()) == len(new.assignment()) == half

    eventually(settled, timeout_s=90)
    for member in (old, new):
        member.resume()
    return new


class NotUtf8(str):
    """A header name as only a producer in another language would write it."""

    def encode(self, *_: object) -> bytes:
        return b"\xff\xfe"


def test_a_header_name_that_is_not_utf8_stops_nothing(kafka_rig: KafkaRig) -> None:
    images = kafka_rig.topics.images
    for number in range(3):
        headers = [(NotUtf8("line") if number == 1 else "line", b"A")]
        kafka_rig.append(OutgoingRecord(images, b"A/cam1", b"frame %d" % number, headers), partition=0)
    records = poll_records(joined(kafka_rig, unique("group")), 3)
    assert [record.content for record in records] == [b"frame 0", b"frame 1", b"frame 2"]
    with pytest.raises(InvalidFrame, match="bad_headers"):
        decode_record(records[1])


def test_frames_in_flight_when_a_worker_dies_are_tried_one_at_a_time(apache_rig: KafkaRig) -> None:
    group = unique("group")
    first, *_ = [frame(apache_rig, b"frame") for _ in range(4)]
    one = joined(apache_rig, group)
    assert {record.crashes for record in poll_records(one, 4)} == {0}
    assert not one.under_suspicion()
    die(one)
    two = joined(apache_rig, group)
    (suspect,) = poll_records(two, 1)
    assert (suspect.position, suspect.crashes) == (first, 1)
    assert two.under_suspicion()
    two.commit({first.shard: first.offset + 1})
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
        two.commit({tried[-1].position.shard: tried[-1].position.offset + 1})
        tried += poll_records(two, 1)
    assert {record.position for record in tried} == suspects
    two.commit({tried[-1].position.shard: tried[-1].position.offset + 1})
    assert {record.position for record in poll_records(two, 3)} == after
    assert not two.under_suspicion()


def test_a_suspicion_goes_along_when_the_group_gives_a_partition_to_another_worker(apache_rig: KafkaRig) -> None:
    group = unique("group")
    for partition in range(PARTITIONS):
        frame(apache_rig, b"suspect", partition=partition)
    dead = joined(apache_rig, group)
    poll_records(dead, PARTITIONS)
    die(dead)
    old = joined(apache_rig, group)
    for _ in range(PARTITIONS):  # each is looked up when its first frame comes
        (suspect,) = poll_records(old, 1)
        old.commit({suspect.position.shard: suspect.position.offset})  # not judged yet
    new = split(apache_rig, group, old)
    (suspect,) = poll_records(new, 1)
    assert suspect.crashes == 1
    assert new.under_suspicion()


def test_a_worker_that_left_in_order_leaves_no_suspicion(apache_rig: KafkaRig) -> None:
    group = unique("group")
    frame(apache_rig, b"frame")
    one = joined(apache_rig, group)
    poll_records(one, 1)
    one.close()
    two = joined(apache_rig, group)
    (record,) = poll_records(two, 1)
    assert record.crashes == 0
    assert not two.under_suspicion()


def test_a_worker_that_did_not_leave_in_order_is_taken_for_dead(apache_rig: KafkaRig) -> None:
    group = unique("group")
    frame(apache_rig, b"frame")
    one = joined(apache_rig, group)
    poll_records(one, 1)
    one.close(in_order=False)
    (record,) = poll_records(joined(apache_rig, group), 1)
    assert record.crashes == 1


@pytest.mark.parametrize("is_joining", [True, False])
def test_an_expelled_member_loses_its_partitions_once_and_reads_on_from_what_is_committed(
    apache_rig: KafkaRig, monkeypatch: pytest.MonkeyPatch, is_joining: bool
) -> None:
    group = unique("group")
    first, second = frame(apache_rig, b"first"), frame(apache_rig, b"second")
    source = joined(apache_rig, group)
    assert isinstance(source, KafkaFrameSource)
    poll_records(source, 2)
    source.commit({first.shard: first.offset + 1})
    assert source.take_lost() == frozenset()
    owned, on_lost = source.assignment(), source.on_lost
    losses: list[set[TopicPartition]] = []

    def counting(lost: Iterable[TopicPartition]) -> None:
        losses.append(set(lost))
        on_lost(lost)

    monkeypatch.setattr(source, "on_lost", counting)
    expel(apache_rig, group, source)
    if is_joining:
        source._consumer._coordinator.request_rejoin()
    assert [record.position for record in poll_records(source, 1)] == [second]
    assert source.take_lost() == owned
    source.close()
    assert losses == [{to_topic_partition(partition) for partition in owned}]


def test_frames_that_expired_before_they_were_judged_are_told(apache_rig: KafkaRig) -> None:
    group = unique("group")
    first, *_, last = [frame(apache_rig, b"frame") for _ in range(5)]
    source = joined(apache_rig, group)
    poll_records(source, 5)
    source.commit({first.shard: first.offset + 1})
    source.close()
    expire(apache_rig, to_topic_partition(first.shard), before=last.offset)
    expired = metrics.EXPIRED_FRAMES._value.get()
    with capture_logs() as logs:
        assert [record.position for record in poll_records(joined(apache_rig, group), 1)] == [last]
    (told,) = [line for line in logs if line["event"] == "frames expired before they were judged"]
    assert (told["partition"], told["frames"]) == (first.partition, 3)
    assert metrics.EXPIRED_FRAMES._value.get() - expired == 3


@pytest.mark.parametrize("asked_by", ["poll", "committed"])
def test_an_old_answer_about_committed_offsets_is_not_taken_for_a_new_one(apache_rig: KafkaRig, asked_by: str) -> None:
    group = unique("group")
    first, *_, last = [frame(apache_rig, b"frame") for _ in range(5)]
    one = joined_to_kafka(apache_rig, group)
    poll_records(one, 5)
    one.commit({first.shard: last.offset})
    partition = to_topic_partition(first.shard)
    old = Future().success({partition: OffsetAndMetadata(first.offset, "", -1)})
    if asked_by == "committed":
        one._consumer._coordinator._offset_fetch_futures[frozenset({partition})] = old
        assert one.committed({first.shard}) == {first.shard: last.offset}
        return
    one.close()
    two = apache_rig.source(group)
    assert isinstance(two, KafkaFrameSource)
    two.start()
    every = frozenset(to_topic_partition(Partition(first.topic, number)) for number in range(PARTITIONS))
    two._consumer._coordinator._offset_fetch_futures[every] = old
    assert [record.position for record in poll_records(two, 1)] == [last]


def test_a_frame_that_is_read_from_before_the_committed_offset_is_not_taken_in(apache_rig: KafkaRig) -> None:
    group = unique("group")
    first, *_, last = [frame(apache_rig, b"frame") for _ in range(5)]
    source = joined_to_kafka(apache_rig, group)
    partition = to_topic_partition(first.shard)
    source._consumer.commit({partition: OffsetAndMetadata(last.offset, "", -1)})
    with pytest.raises(TransportError, match="is committed to"):
        poll_records(source, 1)
    assert [record.position for record in poll_records(source, 1)] == [last]
    assert source.committed({first.shard}) == {first.shard: last.offset}


def test_a_partition_that_has_lost_its_end_is_read_from_its_beginning_and_told(apache_rig: KafkaRig) -> None:
    group = unique("group")
    first = frame(apache_rig, b"frame")
    one = joined_to_kafka(apache_rig, group)
    poll_records(one, 1)
    one._consumer.commit({to_topic_partition(first.shard): OffsetAndMetadata(first.offset + 50, "", -1)})
    one.close(in_order=False)
    with capture_logs() as logs:
        assert [record.position for record in poll_records(joined(apache_rig, group), 1)] == [first]
    assert [line["committed"] for line in logs if line["event"] == "committed past the end"] == [first.offset + 50]


def test_what_is_owed_is_committed_before_leaving_in_order(
    apache_rig: KafkaRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = unique("group")
    first, second = frame(apache_rig, b"first"), frame(apache_rig, b"second")
    source = joined_to_kafka(apache_rig, group)
    poll_records(source, 2)
    with monkeypatch.context() as broken:
        broken.setattr(source._consumer, "commit", lose_the_answer(source._consumer.commit))
        with pytest.raises(TransportError, match="committing offsets"):
            source.commit({first.shard: first.offset + 1})
    source.close()
    assert [record.position for record in poll_records(joined(apache_rig, group), 1)] == [second]


def joined_to_kafka(rig: KafkaRig, group: str) -> KafkaFrameSource:
    source = joined(rig, group)
    assert isinstance(source, KafkaFrameSource)
    return source


def lose_the_answer(commit: Callable[..., None]) -> Callable[..., None]:
    def committed(*arguments: Any, **options: Any) -> None:
        commit(*arguments, **options)
        raise KafkaTimeoutError("no answer in time")

    return committed


def expel(rig: KafkaRig, group: str, source: KafkaFrameSource) -> None:
    """What the group does with a member that was silent for too long."""
    admin: KafkaAdminClient = open_client(KafkaAdminClient, rig.access)
    try:
        admin.remove_group_members(group, [MemberToRemove(member_id=source._consumer.group_metadata().member_id)])
    finally:
        admin.close()


def expire(rig: KafkaRig, partition: TopicPartition, *, before: int) -> None:
    """What retention does."""
    admin: KafkaAdminClient = open_client(KafkaAdminClient, rig.access)
    try:
        admin.delete_records({partition: before})
    finally:
        admin.close()


def die(source: FrameSource) -> None:
    """Fall silent without leaving the group, as a killed process does."""
    assert isinstance(source, KafkaFrameSource)
    source._connections.close()
