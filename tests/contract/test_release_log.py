"""ReleaseLog: the newest release of every line, for those who were there and for those who come later."""

from time import monotonic

from qc_worker.domain.release import Release
from qc_worker.ports.models import ReleaseLog
from qc_worker.transport.outgoing import OutgoingRecord
from tests.conftest import eventually
from tests.contract.rigs import Rig, release


def test_empty_log_is_read_at_once(rig: Rig) -> None:
    releases = rig.release_log()
    began_s = monotonic()
    assert releases.read_all() == {}
    assert monotonic() - began_s < 5


def test_newest_release_of_each_line_wins(rig: Rig) -> None:
    releases = rig.release_log()
    for version in ("v1", "v2", "v3"):
        releases.announce(release("A", version))
    releases.announce(release("B", "v1"))
    newest = releases.read_all()
    assert newest == {"A": release("A", "v3"), "B": release("B", "v1")}


def test_late_reader_sees_what_was_announced_before(rig: Rig) -> None:
    announcer = rig.release_log()
    announcer.announce(release("A", "v1"))
    announcer.close()
    assert rig.release_log().read_all() == {"A": release("A", "v1")}


def test_reading_again_sees_what_came_in_between(rig: Rig) -> None:
    releases = rig.release_log()
    assert releases.read_all() == {}
    releases.announce(release("A", "v1"))
    assert releases.read_all() == {"A": release("A", "v1")}


def test_poll_returns_only_what_is_new_oldest_first(rig: Rig) -> None:
    announcer, reader = rig.release_log(), rig.release_log()
    announcer.announce(release("A", "v1"))
    reader.read_all()
    assert reader.poll(timeout_s=0.1) == []
    announcer.announce(release("A", "v2"))
    announcer.announce(release("B", "v1"))
    assert polled(reader, 2) == [release("A", "v2"), release("B", "v1")]
    assert reader.poll(timeout_s=0.1) == []


def test_poll_without_read_all_starts_at_the_beginning(rig: Rig) -> None:
    rig.release_log().announce(release("A", "v1"))
    assert polled(rig.release_log(), 1) == [release("A", "v1")]


def test_unreadable_releases_are_counted_and_left_out(rig: Rig) -> None:
    releases = rig.release_log()
    releases.announce(release("A", "v1"))
    for garbage in (b"not json", b"{}", b'{"line": "../etc"}', b"\xff\xfe", b"[" * 100_000):
        rig.append(OutgoingRecord(rig.topics.models, b"A", garbage, []), partition=0)
    assert releases.read_all() == {"A": release("A", "v1")}
    assert releases.refused == 5


def test_tombstone_retires_a_line(rig: Rig) -> None:
    releases = rig.release_log()
    releases.announce(release("A", "v1"))
    releases.announce(release("B", "v1"))
    rig.append(OutgoingRecord(rig.topics.models, b"A", b"", []), partition=0)
    assert releases.read_all() == {"B": release("B", "v1")}
    assert releases.refused == 0


def polled(releases: ReleaseLog, count: int) -> list[Release]:
    found: list[Release] = []

    def enough() -> bool:
        found.extend(releases.poll(timeout_s=0.2))
        return len(found) >= count

    eventually(enough)
    return found
