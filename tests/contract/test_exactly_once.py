"""ExactlyOnceSink: inspections and offsets appear together or not at all, and never twice."""

from collections.abc import Collection
from time import monotonic
from typing import Any

import pytest
from kafka import OffsetAndMetadata, TopicPartition
from kafka.errors import KafkaTimeoutError

from qc_worker.domain.errors import GroupRebalancing, TransportError
from qc_worker.domain.frame import Offsets, Partition, Record
from qc_worker.domain.inspection import Outcome
from qc_worker.transport.kafka.exactly_once import (
    TRANSACTION_TIMEOUT_S,
    ExactlyOnceSink,
    broker_has_transactions,
)
from qc_worker.transport.kafka.group.frame_source import KafkaFrameSource
from qc_worker.transport.kafka.group.group_member import GroupMember
from qc_worker.transport.outgoing import OutgoingRecord
from qc_worker.wire.json_types import decode_inspection
from tests.conftest import eventually, unique
from tests.contract.rigs import PARTITIONS, KafkaRig, frame, outcome

FRAMES = 10


class Site:
    """A source that has polled some frames, and sinks that publish them."""

    def __init__(self, rig: KafkaRig) -> None:
        self.rig = rig
        self.group = unique("group")
        for number in range(FRAMES):
            frame(rig, b"frame", partition=number % PARTITIONS)
        source = rig.source(self.group)
        assert isinstance(source, KafkaFrameSource)
        self.source, self.member = source, source.member
        self.source.start()
        self.records = self.poll(FRAMES)
        self.source.take_lost()

    def poll(self, count: int) -> list[Record]:
        found: list[Record] = []

        def enough() -> bool:
            found.extend(self.source.poll(timeout_s=0.2, max_records=count))
            return len(found) >= count

        eventually(enough)
        return found

    def sink(self, *, name: str = "worker") -> ExactlyOnceSink:
        sink = ExactlyOnceSink(
            self.rig.access,
            results_topic=self.rig.topics.results,
            dead_letter_topic=self.rig.topics.dead_letters,
            transactional_id=f"{self.group}.{name}",
            member=self.member,
        )
        self.rig.closing(sink.close)
        return sink

    @property
    def outcomes(self) -> list[Outcome]:
        return [outcome(record.position) for record in self.records]

    @property
    def offsets(self) -> Offsets:
        return {record.position.topic_partition: record.position.offset + 1 for record in self.records}

    def published(self) -> list[int]:
        """Offsets of the frames whose inspections readers see, by partition."""
        found = [decode_inspection(record.content).source for record in self.rig.records(self.rig.topics.results)]
        return sorted(source.partition * 1000 + source.offset for source in found)

    @property
    def all_of_them(self) -> list[int]:
        return sorted(record.position.partition * 1000 + record.position.offset for record in self.records)

    def committed(self) -> dict[Partition, int]:
        return self.rig.committed(self.group)


@pytest.fixture
def site(apache_rig: KafkaRig) -> Site:
    return Site(apache_rig)


def test_apache_kafka_has_transactions(apache_rig: KafkaRig) -> None:
    assert broker_has_transactions(apache_rig.access)


def test_inspections_and_offsets_appear_together(site: Site) -> None:
    sink = site.sink()
    sink.start()
    sink.publish(site.outcomes, site.offsets)
    assert site.published() == site.all_of_them
    assert site.committed() == site.offsets


def test_many_transactions_in_a_row(site: Site) -> None:
    sink = site.sink()
    for record, one in zip(site.records, site.outcomes, strict=True):
        sink.publish([one], {record.position.topic_partition: record.position.offset + 1})
    assert site.published() == site.all_of_them
    assert site.committed() == site.offsets


def test_what_was_not_committed_is_seen_by_nobody_and_published_again(site: Site) -> None:
    sink = site.sink()
    fail_at_commit(sink, is_sent=False)
    with pytest.raises(TransportError):
        sink.publish(site.outcomes, site.offsets)
    sink.start()  # ends the transaction, or the broker would after its timeout, and readers wait until then
    assert set(site.committed().values()) == {0}
    assert site.published() == []
    sink.publish(site.outcomes, site.offsets)
    assert site.published() == site.all_of_them
    assert site.committed() == site.offsets


def test_a_commit_whose_answer_was_lost_is_not_published_again(site: Site) -> None:
    sink = site.sink()
    fail_at_commit(sink, is_sent=True)
    with pytest.raises(TransportError):
        sink.publish(site.outcomes, site.offsets)
    sink.publish(site.outcomes, site.offsets)
    assert site.published() == site.all_of_them
    assert site.committed() == site.offsets
    sink.close()
    site.source.close()
    assert site.committed() == site.offsets


def test_leaving_after_an_uncertain_commit_does_not_take_back_what_was_committed(site: Site) -> None:
    sink = site.sink()
    fail_at_commit(sink, is_sent=True)
    with pytest.raises(TransportError):
        sink.publish(site.outcomes, site.offsets)
    sink.close()
    site.source.close()
    assert site.published() == site.all_of_them
    assert site.committed() == site.offsets


def test_a_successor_of_the_same_name_ends_what_was_left_open(site: Site) -> None:
    dead = site.sink()
    fail_at_commit(dead, is_sent=False)
    with pytest.raises(TransportError):
        dead.publish(site.outcomes[:4], site.offsets)
    successor = site.sink()
    successor.publish(site.outcomes, site.offsets)
    assert site.published() == site.all_of_them


def test_an_older_sink_of_the_same_name_is_fenced_off(site: Site) -> None:
    older, newer = site.sink(), site.sink()
    older.start()
    newer.start()
    with pytest.raises(TransportError):
        older.publish(site.outcomes, site.offsets)
    newer.publish(site.outcomes, site.offsets)
    assert site.published() == site.all_of_them


def test_partitions_that_were_lost_are_not_published(site: Site) -> None:
    lost = Partition(site.rig.topics.images, 0)
    site.member._ownership.lose([lost])
    sink = site.sink()
    with pytest.raises(GroupRebalancing):
        sink.publish(site.outcomes, site.offsets)
    assert site.published() == []
    site.source.take_lost()
    sink.publish(site.outcomes, site.offsets)
    assert site.published() == site.all_of_them


def test_the_broker_refuses_offsets_of_an_older_generation(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    outdate(site.member, monkeypatch)
    sink = site.sink()
    with pytest.raises(GroupRebalancing):
        sink.publish(site.outcomes, site.offsets)
    assert set(site.committed().values()) == {0}
    assert site.published() == []


def test_readers_do_not_wait_behind_a_transaction_whose_offsets_were_refused(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    results, offsets_with_notes = site.rig.topics.results, site.member.offsets_with_notes
    outdate(site.member, monkeypatch)
    sink = site.sink()
    sink.start()

    def after_sending(offsets: Offsets) -> dict[TopicPartition, OffsetAndMetadata]:
        sink._producer.flush()  # from now on readers would wait
        return offsets_with_notes(offsets)

    monkeypatch.setattr(site.member, "offsets_with_notes", after_sending)
    with pytest.raises(GroupRebalancing):
        sink.publish(site.outcomes, site.offsets)
    site.rig.append(OutgoingRecord(results, site.outcomes[0].key, b"of another worker", []))
    began_s = monotonic()
    (seen,) = site.rig.records(results)
    assert seen.content == b"of another worker"
    assert monotonic() - began_s < TRANSACTION_TIMEOUT_S / 2


def outdate(member: GroupMember, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the group leave the member behind, without the member's knowing it."""
    group_metadata = member.group_metadata

    def outdated(partitions: Collection[Partition]) -> Any:
        current = group_metadata(partitions)
        return current._replace(generation_id=current.generation_id + 7)

    monkeypatch.setattr(member, "group_metadata", outdated)


def fail_at_commit(sink: ExactlyOnceSink, *, is_sent: bool) -> None:
    """Let the next commit time out, before or after it has reached the broker."""
    wait = sink._wait_for
    calls = 0

    def timing_out(result: Any) -> None:
        nonlocal calls
        calls += 1
        wait(result)
        if calls == (2 if is_sent else 1):  # the offsets, then the commit
            sink._wait_for = wait  # type: ignore[method-assign]
            raise KafkaTimeoutError("as if no answer had come")

    sink._wait_for = timing_out  # type: ignore[method-assign]
