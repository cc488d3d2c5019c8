"""Where a member reads on: after an expulsion, an expiry, an old answer, a lost end, a commit without an answer."""

from collections.abc import Callable, Iterable
from typing import Any

import pytest
from kafka import KafkaAdminClient, OffsetAndMetadata, TopicPartition
from kafka.admin import MemberToRemove
from kafka.errors import KafkaTimeoutError
from kafka.future import Future
from structlog.testing import capture_logs

from qc_worker.domain.errors import TransportError
from qc_worker.domain.frame import Partition
from qc_worker.observability import metrics
from qc_worker.transport.kafka.connecting.access import open_client
from qc_worker.transport.kafka.group.frame_source import KafkaFrameSource
from qc_worker.transport.kafka.records import to_topic_partition
from tests.conftest import unique
from tests.contract.frame_sources import joined, poll_records
from tests.contract.rigs import PARTITIONS, KafkaRig, frame


@pytest.mark.parametrize("is_joining", [True, False])
def test_an_expelled_member_loses_its_partitions_once_and_reads_on_from_what_is_committed(
    apache_rig: KafkaRig, monkeypatch: pytest.MonkeyPatch, is_joining: bool
) -> None:
    group = unique("group")
    first, second = frame(apache_rig, b"first"), frame(apache_rig, b"second")
    source = joined(apache_rig, group)
    assert isinstance(source, KafkaFrameSource)
    poll_records(source, 2)
    source.commit({first.topic_partition: first.offset + 1})
    assert source.take_lost() == frozenset()
    owned, listener = source.assignment(), source.member._listener
    on_lost = listener.on_partitions_lost
    losses: list[set[TopicPartition]] = []

    def counting(lost: Iterable[TopicPartition]) -> None:
        losses.append(set(lost))
        on_lost(lost)

    monkeypatch.setattr(listener, "on_partitions_lost", counting)
    expel(apache_rig, group, source)
    if is_joining:
        source.member.consumer._coordinator.request_rejoin()
    assert [record.position for record in poll_records(source, 1)] == [second]
    assert source.take_lost() == owned
    source.close()
    assert losses == [{to_topic_partition(partition) for partition in owned}]


def test_frames_that_expired_before_they_were_judged_are_told(apache_rig: KafkaRig) -> None:
    group = unique("group")
    first, *_, last = [frame(apache_rig, b"frame") for _ in range(5)]
    source = joined(apache_rig, group)
    poll_records(source, 5)
    source.commit({first.topic_partition: first.offset + 1})
    source.close()
    expire(apache_rig, to_topic_partition(first.topic_partition), before=last.offset)
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
    one.commit({first.topic_partition: last.offset})
    partition = to_topic_partition(first.topic_partition)
    old = Future().success({partition: OffsetAndMetadata(first.offset, "", -1)})
    if asked_by == "committed":
        one.member.consumer._coordinator._offset_fetch_futures[frozenset({partition})] = old
        assert one.member.committed({first.topic_partition}) == {first.topic_partition: last.offset}
        return
    one.close()
    two = apache_rig.source(group)
    assert isinstance(two, KafkaFrameSource)
    two.start()
    every = frozenset(to_topic_partition(Partition(first.topic, number)) for number in range(PARTITIONS))
    two.member.consumer._coordinator._offset_fetch_futures[every] = old
    assert [record.position for record in poll_records(two, 1)] == [last]


def test_a_frame_that_is_read_from_before_the_committed_offset_is_not_taken_in(apache_rig: KafkaRig) -> None:
    group = unique("group")
    first, *_, last = [frame(apache_rig, b"frame") for _ in range(5)]
    source = joined_to_kafka(apache_rig, group)
    partition = to_topic_partition(first.topic_partition)
    source.member.consumer.commit({partition: OffsetAndMetadata(last.offset, "", -1)})
    with pytest.raises(TransportError, match="is committed to"):
        poll_records(source, 1)
    assert [record.position for record in poll_records(source, 1)] == [last]
    assert source.member.committed({first.topic_partition}) == {first.topic_partition: last.offset}


def test_a_partition_that_has_lost_its_end_is_read_from_its_beginning_and_told(apache_rig: KafkaRig) -> None:
    group = unique("group")
    first = frame(apache_rig, b"frame")
    one = joined_to_kafka(apache_rig, group)
    poll_records(one, 1)
    one.member.consumer.commit(
        {to_topic_partition(first.topic_partition): OffsetAndMetadata(first.offset + 50, "", -1)}
    )
    one.close(in_order=False)
    with capture_logs() as logs:
        assert [record.position for record in poll_records(joined(apache_rig, group), 1)] == [first]
    assert [line["committed"] for line in logs if line["event"] == "committed past the end"] == [first.offset + 50]


def test_pending_offsets_are_committed_before_leaving_in_order(
    apache_rig: KafkaRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = unique("group")
    first, second = frame(apache_rig, b"first"), frame(apache_rig, b"second")
    source = joined_to_kafka(apache_rig, group)
    poll_records(source, 2)
    with monkeypatch.context() as broken:
        broken.setattr(source.member.consumer, "commit", lose_the_answer(source.member.consumer.commit))
        with pytest.raises(TransportError, match="committing offsets"):
            source.commit({first.topic_partition: first.offset + 1})
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
        admin.remove_group_members(group, [MemberToRemove(member_id=source.member.consumer.group_metadata().member_id)])
    finally:
        admin.close()


def expire(rig: KafkaRig, partition: TopicPartition, *, before: int) -> None:
    """What retention does."""
    admin: KafkaAdminClient = open_client(KafkaAdminClient, rig.access)
    try:
        admin.delete_records({partition: before})
    finally:
        admin.close()
