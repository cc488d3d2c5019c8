"""Reading whole topics, and the account made of them, on every broker."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from time import sleep
from typing import Any

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from qc_worker.audit.ledger import Kind
from qc_worker.commands.account import Accountant
from qc_worker.commands.account_report import Account
from qc_worker.commands.replay import recorded_inspection
from qc_worker.domain.errors import Reason, SettingsError, TransportError
from qc_worker.domain.frame import Offsets, Partition, Position
from qc_worker.domain.inspection import DeadLetter, Outcome, Verdict
from qc_worker.settings import Settings, load_settings
from qc_worker.transport import kafka_books
from qc_worker.transport.kafka_books import KafkaBooks
from qc_worker.transport.kafka_config import open_client
from qc_worker.transport.kafka_records import to_commit
from qc_worker.transport.outgoing import OutgoingRecord, inspection_record
from tests import factories
from tests.conftest import unique
from tests.contract.rigs import KafkaRig, frame
from tests.contract.test_frame_reader import delete_records

LONGER_THAN_AN_ACCOUNT_S = 2.0


@pytest.fixture
def books(kafka_rig: KafkaRig) -> Iterator[KafkaBooks]:
    books = KafkaBooks(kafka_rig.access)
    yield books
    books.close()


@pytest.fixture
def settings(kafka_rig: KafkaRig) -> Settings:
    return load_settings(
        kafka_bootstrap_servers=kafka_rig.access.bootstrap_servers,
        images_topic=kafka_rig.topics.images,
        results_topic=kafka_rig.topics.results,
        dead_letter_topic=kafka_rig.topics.dead_letters,
        consumer_group=unique("group"),
    )


def frames(rig: KafkaRig, count: int, *, partition: int = 0, line: str = "A") -> list[Position]:
    key = f"{line}/cam1".encode()
    headers = [("line", line.encode()), ("camera", b"cam1")]
    record = OutgoingRecord(rig.topics.images, key, b"picture", headers)
    return [rig.append(record, partition=partition) for _ in range(count)]


def judge(rig: KafkaRig, *positions: Position, failed: bool = False, letter: bool | None = None) -> None:
    """Publish inspections as a worker does; those that failed with their dead letters, unless told otherwise."""
    sink = rig.sink(lambda _: None)
    sink.publish([_outcome(p, failed=failed, letter=failed if letter is None else letter) for p in positions], {})
    sink.close()


def _outcome(position: Position, *, failed: bool, letter: bool) -> Outcome:
    record = factories.record(position.offset, partition=position.partition, topic=position.topic)
    outcome = factories.outcome(record, Verdict.ERROR if failed else Verdict.PASS)
    dead = DeadLetter(position, record.key, b"picture", record.headers, Reason.UNDECODABLE, "broken")
    return Outcome(outcome.inspection, record.key, dead if letter else None)


def commit(rig: KafkaRig, group: str, *offsets: int) -> None:
    """What the workers' group has settled, by partition."""
    committed: Offsets = {Partition(rig.topics.images, number): offset for number, offset in enumerate(offsets)}
    consumer = open_client(KafkaConsumer, rig.access, group_id=group, enable_auto_commit=False)
    consumer.assign([TopicPartition(*shard) for shard in committed])
    consumer.commit(to_commit(committed))
    consumer.close(autocommit=False)


def account(
    settings: Settings, books: KafkaBooks, *, since: datetime | None = None, line: str | None = None
) -> Account:
    return Accountant(settings, books, line=line).account(since)


def found(account: Account) -> dict[Kind, list[Position]]:
    return {kind: finding.positions for kind, finding in account.balance.findings.items() if finding.count}


def test_all_records_are_read_from_anywhere_as_often_as_asked(kafka_rig: KafkaRig, books: KafkaBooks) -> None:
    sent = frames(kafka_rig, 5) + frames(kafka_rig, 3, partition=1)
    oldest = books.oldest(kafka_rig.topics.images)
    assert sorted(record.position for record in books.read(oldest)) == sent
    later = {shard: offset + 2 for shard, offset in oldest.items()}
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
    (shard,) = [shard for shard, end in books.ends(settings.results_topic).items() if end]
    delete_records(kafka_rig.access, TopicPartition(*shard), 3)
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
    (shard,) = [shard for shard, end in books.ends(settings.results_topic).items() if end]
    delete_records(kafka_rig.access, TopicPartition(*shard), inspections_removed)
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


@contextmanager
def open_transaction(rig: KafkaRig, source: Position) -> Iterator[Any]:
    """Another worker's producer with the inspection of `source` published and not committed."""
    producer = open_client(KafkaProducer, rig.access, transactional_id=unique("books"), acks="all")
    producer.init_transactions()
    producer.begin_transaction()
    record = inspection_record(rig.topics.results, b"A/cam1", _outcome(source, failed=False, letter=False).inspection)
    producer.send(record.topic, key=record.key, value=record.content, headers=record.headers).get(10)
    try:
        yield producer
    finally:
        producer.close()


@pytest.mark.apache_only  # Tansu shows what is not committed
@pytest.mark.parametrize("since", [None, timedelta(hours=1)])
@pytest.mark.parametrize("end", [KafkaProducer.commit_transaction, KafkaProducer.abort_transaction])
def test_inspections_behind_an_open_transaction_are_waited_for(
    kafka_rig: KafkaRig, books: KafkaBooks, settings: Settings, since: timedelta | None, end: Any
) -> None:
    *sent, not_settled = frames(kafka_rig, 4)
    with open_transaction(kafka_rig, not_settled) as producer, ThreadPoolExecutor() as threads:
        judge(kafka_rig, *sent)
        commit(kafka_rig, settings.consumer_group, 3)
        kept = threads.submit(account, settings, books, since=datetime.now(UTC) - since if since else None)
        with pytest.raises(TimeoutError):
            kept.result(LONGER_THAN_AN_ACCOUNT_S)
        end(producer)
        balance = kept.result(30).balance
    assert balance.clean
    assert (balance.partitions[0].inspections, balance.partitions[0].waiting) == (3, 1)


@pytest.mark.apache_only  # Tansu shows what is not committed
def test_replay_waits_for_an_inspection_behind_an_open_transaction(kafka_rig: KafkaRig, settings: Settings) -> None:
    sent, other = frames(kafka_rig, 2)
    record = kafka_rig.frame_reader().read(sent)
    assert record is not None
    with open_transaction(kafka_rig, other) as producer, ThreadPoolExecutor() as threads:
        judge(kafka_rig, sent)
        inspection = threads.submit(recorded_inspection, settings, record)
        with pytest.raises(TimeoutError):
            inspection.result(LONGER_THAN_AN_ACCOUNT_S)
        producer.abort_transaction()
        found = inspection.result(30)
    assert found is not None
    assert found.source == sent


@pytest.mark.apache_only  # Tansu shows what is not committed
def test_transaction_that_stays_open_is_an_error_that_names_what_it_hides(
    kafka_rig: KafkaRig, books: KafkaBooks, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka_books, "OPEN_TRANSACTION_TIMEOUT_S", 0.5)
    sent = frames(kafka_rig, 3)
    judge(kafka_rig, sent[0])
    with open_transaction(kafka_rig, sent[2]) as producer:
        judge(kafka_rig, sent[1])
        commit(kafka_rig, settings.consumer_group, 2)
        with pytest.raises(TransportError, match=f"open transaction hides .* {settings.results_topic}:. from offset 1"):
            account(settings, books)
        producer.abort_transaction()
    assert account(settings, books).balance.clean


@pytest.mark.apache_only  # Tansu hands out what was aborted
def test_marks_of_transactions_are_no_frames_and_what_was_aborted_never_was(
    kafka_rig: KafkaRig, books: KafkaBooks, settings: Settings
) -> None:
    producer = open_client(KafkaProducer, kafka_rig.access, transactional_id=unique("books"), acks="all")
    producer.init_transactions()
    for commits in (True, False, True):
        producer.begin_transaction()
        producer.send(settings.images_topic, key=b"A/cam1", value=b"picture", partition=0).get(10)
        (producer.commit_transaction if commits else producer.abort_transaction)()
    last = frame(kafka_rig, b"picture")
    producer.begin_transaction()
    producer.send(settings.images_topic, key=b"A/cam1", value=b"still open", partition=0).get(10)
    try:
        sent = [record.position for record in books.read(books.oldest(settings.images_topic))]
        assert (len(sent), sent[-1]) == (3, last)
        judge(kafka_rig, *sent)
        commit(kafka_rig, settings.consumer_group, last.offset + 1)
        kept = account(settings, books)
        assert kept.balance.clean
        assert kept.balance.partitions[0].frames == 3
    finally:
        producer.abort_transaction()
        producer.close()
