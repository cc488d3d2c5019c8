"""FrameSource: what every adapter keeps to."""

import pytest

from qc_worker.domain.errors import TransportError
from qc_worker.transport.outgoing import OutgoingRecord
from qc_worker.wire.images import decode_record
from tests.conftest import eventually, unique
from tests.contract.frame_sources import joined, poll_for, poll_records, split
from tests.contract.rigs import PARTITIONS, KafkaRig, Rig, frame


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
    source.commit({first.topic_partition: first.offset + 1})
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
    assert [(record.position.topic_partition, record.content) for record in poll_records(new, 1)] == [
        (moved, b"before")
    ]


def test_commit_leaves_out_partitions_of_others(rig: Rig) -> None:
    group = unique("group")
    partitions = {frame(rig, b"frame", partition=partition).topic_partition for partition in range(PARTITIONS)}
    old = joined(rig, group)
    poll_records(old, PARTITIONS)
    new = split(rig, group, old)
    new.pause()
    old.commit(dict.fromkeys(partitions, 1))

    def settled() -> bool:
        # A commit during a rebalance is made up for by the polls that follow.
        for member in (old, new):
            member.poll(timeout_s=0.1, max_records=1)
        return 1 in rig.committed(group).values()

    eventually(settled)
    moved = {partition for partition, offset in rig.committed(group).items() if offset}
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
    assert [decode_record(record).line for record in records] == ["A", "A", "A"]
