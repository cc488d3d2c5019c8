"""Reading whole topics, and the account made of them, on every broker."""

from datetime import UTC, datetime, timedelta
from time import sleep

import pytest

from qc_worker.audit.ledger import Kind
from qc_worker.domain.errors import SettingsError, TransportError
from qc_worker.domain.frame import Partition, Position
from qc_worker.ports.books import Books
from qc_worker.transport.outgoing import OutgoingRecord
from tests.conftest import unique
from tests.contract.bookkeeping import account, commit, found, frames, judge
from tests.contract.rigs import Rig

WITH_RETENTION = pytest.mark.parametrize("rig", ["memory", "apache"], indirect=True)
"""Tansu deletes no records."""


def test_all_records_are_read_from_anywhere_as_often_as_asked(rig: Rig, books: Books) -> None:
    sent = frames(rig, 5) + frames(rig, 3, partition=1)
    oldest = books.oldest(rig.topics.images)
    assert sorted(record.position for record in books.read(oldest)) == sent
    later = {partition: offset + 2 for partition, offset in oldest.items()}
    assert sorted(record.position for record in books.read(later)) == [*sent[2:5], sent[7]]
    assert [record.position for record in books.read(oldest)] != []


def test_ends_are_where_the_next_record_goes_even_after_a_batch(rig: Rig, books: Books) -> None:
    judge(rig, *[Position("images", 0, offset) for offset in range(7)])
    assert sorted(books.ends(rig.topics.results).values()) == [0, 7]


def test_time_leads_to_the_first_record_that_is_not_older(rig: Rig, books: Books) -> None:
    topic = rig.topics.images
    frames(rig, 3)
    sleep(0.01)  # records are dated to the millisecond
    between = datetime.now(UTC)
    sleep(0.01)
    frames(rig, 1)
    first, second = Partition(topic, 0), Partition(topic, 1)
    assert books.at(topic, between) == {first: 3, second: 0}
    assert books.at(topic, between + timedelta(days=1)) == {first: 4, second: 0}


def test_group_that_never_was_has_no_offsets(rig: Rig, books: Books, group: str) -> None:
    assert books.committed(rig.topics.images, group) == {}
    commit(rig, group, 3)
    assert books.committed(rig.topics.images, group) == {Partition(rig.topics.images, 0): 3}


def test_topic_that_is_not_there_is_an_error(books: Books) -> None:
    with pytest.raises(TransportError, match="does not exist"):
        books.oldest(unique("nothing"))


def test_account_finds_what_was_tampered_with_and_nothing_else(rig: Rig, books: Books, group: str) -> None:
    sent = frames(rig, 10) + frames(rig, 10, partition=1)
    broken = [sent[3], sent[13]]
    judge(rig, *(position for position in sent if position not in (*broken, sent[19])))
    judge(rig, *broken, failed=True)
    commit(rig, group, 10, 9)
    # The failed ones were published behind the others of their camera: the only thing that is wrong so far.
    assert found(account(rig, books, group)) == {Kind.OUT_OF_ORDER: broken}

    judge(rig, sent[5])
    rig.append(OutgoingRecord(rig.topics.dead_letters, b"A/cam1", b"", [("qc-source", str(sent[0]).encode())]))
    unreadable = rig.append(OutgoingRecord(rig.topics.results, b"A/cam1", b"not json", []))
    never = Position(rig.topics.images, 1, 10**6)
    judge(rig, never)
    commit(rig, group, 10, 10)
    assert found(account(rig, books, group)) == {
        Kind.OUT_OF_ORDER: broken,
        Kind.DOUBLE: [sent[5]],
        Kind.UNEXPLAINED_DEAD_LETTER: [sent[0]],
        Kind.UNREADABLE: [unreadable],
        Kind.NO_FRAME: [never],
        Kind.MISSING: [sent[19]],
    }


def test_account_of_a_line_leaves_the_others_out(rig: Rig, books: Books, group: str) -> None:
    of_a, of_b = frames(rig, 4), frames(rig, 4, line="B")
    judge(rig, *of_a, *of_b[1:])
    commit(rig, group, 8)
    assert account(rig, books, group, line="A").balance.clean
    assert found(account(rig, books, group, line="B")) == {Kind.MISSING: [of_b[0]]}


def test_account_since_a_time_leaves_out_what_was_before(rig: Rig, books: Books, group: str) -> None:
    judge(rig, *frames(rig, 3)[1:])
    sleep(0.01)
    since = datetime.now(UTC)
    later = frames(rig, 3)
    judge(rig, *later[:2])
    commit(rig, group, 6)
    kept = account(rig, books, group, since=since)
    assert found(kept) == {Kind.MISSING: [later[2]]}
    assert kept.balance.partitions[0].frames == 3


@WITH_RETENTION
def test_books_that_retention_has_cut_start_where_they_can_be_proven(rig: Rig, books: Books, group: str) -> None:
    judge(rig, *frames(rig, 3))
    sleep(0.01)
    judge(rig, *frames(rig, 3))
    commit(rig, group, 6)
    (partition,) = [partition for partition, end in books.ends(rig.topics.results).items() if end]
    rig.remove_before(Position(*partition, 3))
    kept = account(rig, books, group)
    assert kept.balance.clean
    assert kept.balance.partitions[0].frames < 6
    assert "cannot be proven" in kept.notes[0]


@WITH_RETENTION
def test_frames_that_retention_removed_unjudged_are_expired(rig: Rig, books: Books, group: str) -> None:
    sent = frames(rig, 5)
    judge(rig, sent[0])
    commit(rig, group, 1)
    rig.remove_before(Position(rig.topics.images, 0, 3))
    assert found(account(rig, books, group)) == {Kind.EXPIRED: sent[1:3]}


@WITH_RETENTION
def test_frames_removed_unjudged_stay_expired_when_a_worker_has_gone_on_behind_them(
    rig: Rig, books: Books, group: str
) -> None:
    sent = frames(rig, 8)
    judge(rig, *sent[:2])
    rig.remove_before(Position(rig.topics.images, 0, 5))
    commit(rig, group, 5)
    assert found(account(rig, books, group)) == {Kind.EXPIRED: sent[2:5]}
    judge(rig, *sent[5:])
    commit(rig, group, 8)
    assert found(account(rig, books, group)) == {Kind.EXPIRED: sent[2:5]}
    rig.remove_before(Position(rig.topics.images, 0, 7))
    assert found(account(rig, books, group)) == {Kind.EXPIRED: sent[2:5]}


@WITH_RETENTION
@pytest.mark.parametrize("inspections_removed", [1, 3, 6])
def test_frames_whose_inspections_retention_removed_are_not_expired(
    rig: Rig, books: Books, group: str, inspections_removed: int
) -> None:
    sent = frames(rig, 6)
    judge(rig, *sent)
    commit(rig, group, 6)
    rig.remove_before(Position(rig.topics.images, 0, 4))
    assert found(account(rig, books, group)) == {}
    (partition,) = [partition for partition, end in books.ends(rig.topics.results).items() if end]
    rig.remove_before(Position(*partition, inspections_removed))
    assert Kind.EXPIRED not in found(account(rig, books, group))


def test_frames_without_a_group_that_judges_them_prove_nothing(rig: Rig, books: Books, group: str) -> None:
    assert account(rig, books, group).balance.clean
    frames(rig, 2)
    with pytest.raises(SettingsError, match=f"{group}.*--group"):
        account(rig, books, group)


def test_offsets_committed_on_another_topic_of_this_name_are_found(rig: Rig, books: Books, group: str) -> None:
    judge(rig, *frames(rig, 2))
    commit(rig, group, 7)
    assert found(account(rig, books, group)) == {Kind.COMMITTED_PAST_END: [Position(rig.topics.images, 0, 7)]}
