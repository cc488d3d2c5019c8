"""The books while transactions are open, and what they leave behind."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from kafka import KafkaProducer

from qc_worker.audit.recorded import recorded_inspection
from qc_worker.domain.errors import TransportError
from qc_worker.domain.frame import Position
from qc_worker.ports.books import Books
from qc_worker.transport.kafka import books as kafka_books
from qc_worker.transport.kafka.connecting.access import open_client
from qc_worker.transport.outgoing import inspection_record
from tests.conftest import unique
from tests.contract.bookkeeping import account, commit, frames, judge, outcome_of
from tests.contract.rigs import KafkaRig, frame

LONGER_THAN_AN_ACCOUNT_S = 2.0


@pytest.fixture
def rig(kafka_rig: KafkaRig) -> KafkaRig:
    """The books of real brokers: the in-memory one has no transactions."""
    return kafka_rig


@contextmanager
def open_transaction(rig: KafkaRig, source: Position) -> Iterator[Any]:
    """Another worker's producer with the inspection of `source` published and not committed."""
    producer = open_client(KafkaProducer, rig.access, transactional_id=unique("books"), acks="all")
    producer.init_transactions()
    producer.begin_transaction()
    record = inspection_record(rig.topics.results, b"A/cam1", outcome_of(source, failed=False, letter=False).inspection)
    producer.send(record.topic, key=record.key, value=record.content, headers=record.headers).get(10)
    try:
        yield producer
    finally:
        producer.close()


@pytest.mark.apache_only  # Tansu shows what is not committed
@pytest.mark.parametrize("since", [None, timedelta(hours=1)])
@pytest.mark.parametrize("end", [KafkaProducer.commit_transaction, KafkaProducer.abort_transaction])
def test_inspections_behind_an_open_transaction_are_waited_for(
    rig: KafkaRig, books: Books, group: str, since: timedelta | None, end: Any
) -> None:
    *sent, not_settled = frames(rig, 4)
    with open_transaction(rig, not_settled) as producer, ThreadPoolExecutor() as threads:
        judge(rig, *sent)
        commit(rig, group, 3)
        kept = threads.submit(account, rig, books, group, since=datetime.now(UTC) - since if since else None)
        with pytest.raises(TimeoutError):
            kept.result(LONGER_THAN_AN_ACCOUNT_S)
        end(producer)
        balance = kept.result(30).balance
    assert balance.clean
    assert (balance.partitions[0].inspections, balance.partitions[0].waiting) == (3, 1)


@pytest.mark.apache_only  # Tansu shows what is not committed
def test_replay_waits_for_an_inspection_behind_an_open_transaction(rig: KafkaRig, books: Books) -> None:
    sent, other = frames(rig, 2)
    record = rig.frame_reader().read(sent)
    assert record is not None
    with open_transaction(rig, other) as producer, ThreadPoolExecutor() as threads:
        judge(rig, sent)
        inspection = threads.submit(recorded_inspection, books, rig.topics.results, record)
        with pytest.raises(TimeoutError):
            inspection.result(LONGER_THAN_AN_ACCOUNT_S)
        producer.abort_transaction()
        found = inspection.result(30)
    assert found is not None
    assert found.source == sent


@pytest.mark.apache_only  # Tansu shows what is not committed
def test_transaction_that_stays_open_is_an_error_that_names_what_it_hides(
    rig: KafkaRig, books: Books, group: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka_books, "OPEN_TRANSACTION_TIMEOUT_S", 0.5)
    sent = frames(rig, 3)
    judge(rig, sent[0])
    with open_transaction(rig, sent[2]) as producer:
        judge(rig, sent[1])
        commit(rig, group, 2)
        with pytest.raises(TransportError, match=f"open transaction hides {rig.topics.results}:. from offset 1"):
            account(rig, books, group)
        producer.abort_transaction()
    assert account(rig, books, group).balance.clean


@pytest.mark.apache_only  # Tansu hands out what was aborted
def test_marks_of_transactions_are_no_frames_and_what_was_aborted_never_was(
    rig: KafkaRig, books: Books, group: str
) -> None:
    producer = open_client(KafkaProducer, rig.access, transactional_id=unique("books"), acks="all")
    producer.init_transactions()
    for commits in (True, False, True):
        producer.begin_transaction()
        producer.send(rig.topics.images, key=b"A/cam1", value=b"picture", partition=0).get(10)
        (producer.commit_transaction if commits else producer.abort_transaction)()
    last = frame(rig, b"picture")
    producer.begin_transaction()
    producer.send(rig.topics.images, key=b"A/cam1", value=b"still open", partition=0).get(10)
    try:
        sent = [record.position for record in books.read(books.oldest(rig.topics.images))]
        assert (len(sent), sent[-1]) == (3, last)
        judge(rig, *sent)
        commit(rig, group, last.offset + 1)
        kept = account(rig, books, group)
        assert kept.balance.clean
        assert kept.balance.partitions[0].frames == 3
    finally:
        producer.abort_transaction()
        producer.close()
