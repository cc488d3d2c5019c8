"""Reading whole topics, and the account made of them, on every broker."""

from datetime import UTC, datetime, timedelta
from time import sleep

import pytest
from kafka import TopicPartition

from qc_worker.audit.ledger import Kind
from qc_worker.domain.errors import SettingsError, TransportError
from qc_worker.domain.frame import Partition, Position
from qc_worker.settings import Settings
from qc_worker.transport.kafka.books import KafkaBooks
from qc_worker.transport.outgoing import OutgoingRecord
from tests.conftest import unique
from tests.contract.bookkeeping import account, commit, found, frames, judge
from tests.contract.rigs import KafkaRig
from tests.contract.test_frame_reader import delete_records


def test_all_records_are_read_from_anywhere_as_often_as_asked(kafka_rig: KafkaRig, books: KafkaBooks) -> None:
    sent = frames(kafka_rig, 5) + frames(kafka_rig, 3, partition=1)
    oldest = books.oldest(kafka_rig.topics.images)
    assert sorted(record.position for record in books.read(oldest)) == sent
    later = {partition: offset + 2 for partition, offset in oldest.items()}
    assert sorted(record.position for record in books.read(later)) == [*sent[2:5], sent[7]]
    assert [record.position for record in books.read(oldest)] != []


def test_ends_are_where_the_next_record_goes_even_after_a_batch(kafka_rig: KafkaRig, books: KafkaBooks) -> None:
    judge(kafka_rig, *[Position("images", 0, offset) for offset in range(7)])
    assert sorted(books.ends(kafka_rig.topics.results).values()) == [0, 7]


def test_time_leads_to_the_first_record_that_is_not_older(kafka_rig: KafkaRig, books: KafkaBooks) -> None:
    topic = kafka_rig.topics.images
    frames(kafka_rig, 3)
    sleep(0.01)  # records are dated to the millisecond
    between = datetime.now(UTC)
    sleep(0.01)
    frames(kafka_rig, 1)
    first, second = Partition(topic, 0), Partition(topic, 1)
    assert books.at(topic, between) == {first: 3, second: 0}
    assert books.at(topic, between + timedelta(days=1)) == {first: 4, second: 0}


def test_group_that_never_was_has_no_offsets(kafka_rig: KafkaRig, books: KafkaBooks) -> None:
    group = unique("group")
    assert books.committed(kafka_rig.topics.images, group) == {}
    commit(kafka_rig, group, 3)
    assert books.committed(kafka_rig.topics.images, group) == {Partition(kafka_rig.topics.images, 0): 3}


def test_topic_that_is_not_there_is_an_error(books: KafkaBooks) -> None:
    with pytest.raises(TransportError, match="does not exist"):
        books.oldest(unique("nothing"))


def test_account_finds_what_was_tampered_with_and_nothing_else(
    kafka_rig: KafkaRig, books: KafkaBooks, settings: Settings
) -> None:
    sent = frames(kafka_rig, 10) + frames(kafka_rig, 10, partition=1)
    broken = [sent[3], sent[13]]
    judge(kafka_rig, *(position for position in sent if position not in (*broken, sent[19])))
    judge(kafka_rig, *broken, failed=True)
    commit(kafka_rig, settings.consumer_group, 10, 9)
    # The failed ones were published behind the others of their camera: the only thing that is wrong so far.
    assert found(account(settings, books)) == {Kind.OUT_OF_ORDER: broken}

    judge(kafka_rig, sent[5])
    kafka_rig.append(OutgoingRecord(settings.dead_letter_topic, b"A/cam1", b"", [("qc-source", str(sent[0]).encode())]))
    unreadable = kafka_rig.append(OutgoingRecord(settings.results_topic, b"A/cam1", b"not json", []))
    never = Position(settings.images_topic, 1, 10**6)
    judge(kafka_rig, never)
    commit(kafka_rig, settings.consumer_group, 10, 10)
    assert found(account(settings, books)) == {
        Kind.OUT_OF_ORDER: broken,
        Kind.DOUBLE: [sent[5]],
        Kind.UNEXPLAINED_DEAD_LETTER: [sent[0]],
        Kind.UNREADABLE: [unreadable],
        Kind.NO_FRAME: [never],
        Kind.MISSING: [sent[19]],
    }


def test_account_of_a_line_leaves_the_others_out(kafka_rig: KafkaRig, books: KafkaBooks, settings: Settings) -> None:
    of_a, of_b = frames(kafka_rig, 4), frames(kafka_rig, 4, line="B")
    judge(kafka_rig, *of_a, *of_b[1:])
    commit(kafka_rig, settings.consumer_group, 8)
    assert account(settings, books, line="A").balance.clean
    assert found(account(settings, books, line="B")) == {Kind.MISSING: [of_b[0]]}


def test_account_since_a_time_leaves_out_what_was_before(
    kafka_rig: KafkaRig, books: KafkaBooks, settings: Settings
) -> None:
    judge(kafka_rig, *frames(kafka_rig, 3)[1:])
    sleep(0.01)
    since = datetime.now(UTC)
    later = frames(kafka_rig, 3)
    judge(kafka_rig, *later[:2])
    commit(kafka_rig, settings.consumer_group, 6)
    kept = account(settings, books, since=since)
    assert found(kept) == {Kind.MISSING: [later[2]]}
    assert kept.balance.partitions[0].frames == 3


@pytest.mark.apache_only  # Tansu deletes no records
def test_books_that_retention_has_cut_start_where_they_can_be_proven(
    kafka_rig: KafkaRig, books: KafkaBooks, settings: Settings
) -> None:
    judge(kafka_rig, *frames(kafka_rig, 3))
    sleep(0.01)
    judge(kafka_rig, *frames(kafka_rig, 3))
    commit(kafka_rig, settings.consumer_group, 6)
    (partition,) = [partition for partition, end in books.ends(settings.results_topic).items() if end]
    delete_records(kafka_rig.access, TopicPartition(*partition), 3)
    kept = account(settings, books)
    assert kept.balance.clean
    assert kept.balance.partitions[0].frames < 6
    assert "cannot be proven" in kept.notes[0]


@pytest.mark.apache_only  # Tansu deletes no records
def test_frames_that_retention_removed_unjudged_are_expired(
    kafka_rig: KafkaRig, books: KafkaBooks, settings: Settings
) -> None:
    sent = frames(kafka_rig, 5)
    judge(kafka_rig, sent[0])
    commit(kafka_rig, settings.consumer_group, 1)
    delete_records(kafka_rig.access, TopicPartition(settings.images_topic, 0), 3)
    assert found(account(settings, books)) == {Kind.EXPIRED: sent[1:3]}


@pytest.mark.apache_only  # Tansu deletes no records
def test_frames_removed_unjudged_stay_expired_when_a_worker_has_gone_on_behind_them(
    kafka_rig: KafkaRig, books: KafkaBooks, settings: Settings
) -> None:
    sent = frames(kafka_rig, 8)
    judge(kafka_rig, *sent[:2])
    delete_records(kafka_rig.access, TopicPartition(settings.images_topic, 0), 5)
    commit(kafka_rig, settings.consumer_group, 5)
    assert found(account(settings, books)) == {Kind.EXPIRED: sent[2:5]}
    judge(kafka_rig, *sent[5:])
    commit(kafka_rig, settings.consumer_group, 8)
    assert found(account(settings, books)) == {Kind.EXPIRED: sent[2:5]}
    delete_records(kafka_rig.access, TopicPartition(settings.images_topic, 0), 7)
    assert found(account(settings, books)) == {Kind.EXPIRED: sent[2:5]}


@pytest.mark.apache_only  # Tansu deletes no records
@pytest.mark.parametrize("inspections_removed", [1, 3, 6])
def test_frames_whose_inspections_retention_removed_are_not_expired(
    kafka_rig: KafkaRig, books: KafkaBooks, settings: Settings, inspections_removed: int
) -> None:
    sent = frames(kafka_rig, 6)
    judge(kafka_rig, *sent)
    commit(kafka_rig, settings.consumer_group, 6)
    delete_records(kafka_rig.access, TopicPartition(settings.images_topic, 0), 4)
    assert found(account(settings, books)) == {}
    (partition,) = [partition for partition, end in books.ends(settings.results_topic).items() if end]
    delete_records(kafka_rig.access, TopicPartition(*partition), inspections_removed)
    assert Kind.EXPIRED not in found(account(settings, books))


def test_frames_without_a_group_that_judges_them_prove_nothing(
    kafka_rig: KafkaRig, books: KafkaBooks, settings: Settings
) -> None:
    assert account(settings, books).balance.clean
    frames(kafka_rig, 2)
    with pytest.raises(SettingsError, match=f"{settings.consumer_group}.*--group"):
        account(settings, books)


def test_offsets_committed_on_another_topic_of_this_name_are_found(
    kafka_rig: KafkaRig, books: KafkaBooks, settings: Settings
) -> None:
    judge(kafka_rig, *frames(kafka_rig, 2))
    commit(kafka_rig, settings.consumer_group, 7)
    assert found(account(settings, books)) == {Kind.COMMITTED_PAST_END: [Position(settings.images_topic, 0, 7)]}
