"""Feeds: topics followed from places that the reader remembers itself."""

from collections.abc import Callable
from threading import Thread

import confluent_kafka
import pytest
from kafka import KafkaAdminClient

from qc_worker.domain.errors import TransportError
from qc_worker.domain.frame import Partition, Position
from qc_worker.transport.kafka.connecting.access import open_client
from qc_worker.transport.kafka.feed import KafkaFeed
from qc_worker.transport.outgoing import OutgoingRecord
from qc_worker.transport.published import published_feedback
from qc_worker.wire.json_types import encode_feedback
from tests.conftest import eventually
from tests.contract.rigs import PARTITIONS, KafkaRig, Rig, feedback, release
from tests.contract.test_inspections import publish, some


def test_feed_continues_at_the_places_of_another(rig: Rig) -> None:
    publish(rig, 0, 1, 2)
    first = rig.inspection_feed()
    first.start()
    assert len(some(first)) == 3
    places = first.places()
    publish(rig, 3, 4)
    second = rig.inspection_feed()
    second.start(places)
    assert [each.inspection.source.offset for each in some(second)] == [3, 4]


def test_partitions_without_a_place_are_read_from_the_beginning(rig: Rig) -> None:
    publish(rig, 0, 1)
    feed = rig.inspection_feed()
    feed.start({Partition(rig.topics.results, 77): 5})
    assert [each.inspection.source.offset for each in some(feed)] == [0, 1]


def test_feed_from_the_end_goes_to_the_places_that_it_is_given(rig: Rig) -> None:
    publish(rig, 0, 1, 2)
    whole = rig.inspection_feed()
    whole.start()
    at = some(whole)[1].position
    feed = rig.inspection_feed(from_beginning=False)
    feed.start({at.topic_partition: at.offset})
    assert [each.inspection.source.offset for each in some(feed)] == [1, 2]


def test_places_are_behind_records_that_could_not_be_read(rig: Rig) -> None:
    at = rig.append(OutgoingRecord(rig.topics.results, b"A/cam1", b"not json", []))
    feed = rig.inspection_feed()
    feed.start()

    def behind() -> bool:
        feed.poll(timeout_s=0.2)
        return feed.places().get(at.topic_partition, 0) == at.offset + 1

    assert eventually(behind)


def test_place_that_retention_has_removed_leads_to_the_oldest_record(apache_rig: Rig) -> None:
    _starts_at_the_oldest(apache_rig)


def test_partitions_that_are_added_are_read_from_their_beginning(apache_rig: KafkaRig) -> None:
    topic = apache_rig.topics.feedback
    feed = KafkaFeed(
        apache_rig.access, topic=topic, decode=published_feedback, from_beginning=False, metadata_max_age_ms=300
    )
    apache_rig.closing(feed.close)
    feed.start()
    admin = open_client(KafkaAdminClient, apache_rig.access)
    admin.create_partitions({topic: PARTITIONS + 1})
    admin.close()
    producer = confluent_kafka.Producer({"bootstrap.servers": apache_rig.access.bootstrap_servers})
    producer.produce(topic, encode_feedback(feedback("f1")), b"A", partition=PARTITIONS)
    assert producer.flush(20) == 0
    (said,) = eventually(lambda: feed.poll(timeout_s=0.2))
    assert said.position.partition == PARTITIONS


def test_place_that_retention_has_removed_in_memory(memory_rig: Rig) -> None:
    _starts_at_the_oldest(memory_rig)


def _starts_at_the_oldest(rig: Rig) -> None:
    at = [rig.append(OutgoingRecord(rig.topics.feedback, b"A", b"", []), partition=0) for _ in range(3)]
    outbox = rig.feedback_outbox()
    outbox.send(feedback("f1"))
    rig.remove_before(Position(at[2].topic, at[2].partition, at[2].offset))
    feed = rig.feedback_feed()
    feed.start({at[0].topic_partition: at[0].offset})
    assert [each.feedback.frame_id for each in eventually(lambda: feed.poll(timeout_s=0.2))] == ["f1"]


def test_releases_and_feedback_are_followed_with_their_bytes(rig: Rig) -> None:
    rig.release_log().announce(release("A", "v1"))
    rig.append(OutgoingRecord(rig.topics.models, b"B", b"", []), partition=0)
    rig.append(OutgoingRecord(rig.topics.models, b"C", b"not json", []), partition=0)
    rig.feedback_outbox().send(feedback("f1"))
    releases, opinions = rig.release_feed(), rig.feedback_feed()
    releases.start()
    opinions.start()
    (released,) = eventually(lambda: releases.poll(timeout_s=0.2))
    (said,) = eventually(lambda: opinions.poll(timeout_s=0.2))
    assert (released.release, said.feedback) == (release("A", "v1"), feedback("f1"))
    assert b'"v1"' in released.content
    assert b'"f1"' in said.content


def test_oldest_offsets_are_known_before_a_start(rig: Rig) -> None:
    publish(rig, 0, 1)
    assert rig.inspection_feed().oldest() == {Partition(rig.topics.results, number): 0 for number in range(PARTITIONS)}


def test_feed_is_reachable_while_its_broker_is_connected(rig: Rig) -> None:
    feed = rig.inspection_feed()
    assert not feed.reachable()
    feed.start()
    assert eventually(lambda: not feed.poll(timeout_s=0.2) and feed.reachable())


def test_a_feed_that_waits_is_interrupted_by_another_thread(rig: Rig) -> None:
    feed = rig.inspection_feed()
    feed.start()
    errors: list[str] = []

    def wait() -> None:
        try:
            while True:
                feed.poll(timeout_s=60)
        except TransportError as error:
            errors.append(str(error))

    waiting = Thread(target=wait)
    waiting.start()
    eventually(lambda: _ended(feed.interrupt, waiting), timeout_s=20)
    assert errors
    with pytest.raises(TransportError, match="interrupted"):
        feed.start()


def _ended(interrupt: Callable[[], None], thread: Thread) -> bool:
    interrupt()
    thread.join(0.05)
    return not thread.is_alive()
