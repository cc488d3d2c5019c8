"""The consumer group seen from outside: its living members, and what waits for them."""

from contextlib import suppress
from threading import Thread

import pytest

from qc_worker.domain.errors import TransportError
from qc_worker.domain.frame import Partition, Position
from qc_worker.ports.groups import GroupState, GroupWatch
from qc_worker.transport.kafka.connecting.access import KafkaAccess
from qc_worker.transport.kafka.group.group_watch import KafkaGroupWatch
from qc_worker.transport.memory.groups import MemoryGroupWatch
from tests.conftest import eventually, unique
from tests.contract.frame_sources import joined
from tests.contract.memory_rig import MemoryRig
from tests.contract.rigs import PARTITIONS, KafkaRig, Rig, frame
from tests.support.silence import silent_address

PATIENCE_MS = 300_000
"""Longer than a test may take."""


def test_group_that_never_was_has_no_members_and_all_waits(rig: Rig, group: str) -> None:
    watch = rig.group_watch(group)
    assert eventually(lambda: _looked(watch)).waiting == 0
    frame(rig, b"one")
    frame(rig, b"two", partition=1)
    state = watch.look()
    assert (state.members, state.waiting) == (0, 2)
    assert state.ends == {Partition(rig.topics.images, number): 1 for number in range(PARTITIONS)}


def test_what_is_committed_does_not_wait(rig: Rig, group: str) -> None:
    watch = rig.group_watch(group)
    at, *_ = (frame(rig, b"frame") for _ in range(3))
    rig.commit(group, {at.topic_partition: at.offset + 1})
    state = watch.look()
    assert (state.next[at.topic_partition], state.waiting) == (1, 2)


def test_members_count_while_they_live(rig: Rig, group: str) -> None:
    watch = rig.group_watch(group)
    first = joined(rig, group)
    assert eventually(lambda: watch.look().members == 1)
    first.close()
    assert eventually(lambda: watch.look().members == 0)


def test_frames_that_retention_removed_wait_no_more_in_memory(memory_rig: MemoryRig, group: str) -> None:
    _removed_frames_wait_no_more(memory_rig, group)


def test_frames_that_retention_removed_wait_no_more(apache_rig: KafkaRig, group: str) -> None:
    _removed_frames_wait_no_more(apache_rig, group)


def _removed_frames_wait_no_more(rig: Rig, group: str) -> None:
    at, *_ = (frame(rig, b"frame") for _ in range(5))
    rig.commit(group, {at.topic_partition: 1})
    rig.remove_before(Position(*at.topic_partition, 3))
    assert rig.group_watch(group).look().waiting == 2


def test_topic_that_is_not_there_is_an_error(kafka_rig: KafkaRig, memory_rig: MemoryRig, group: str) -> None:
    topic = unique("nothing")
    missing = KafkaGroupWatch(kafka_rig.access, topic=topic, group=group)
    kafka_rig.closing(missing.close)
    for watch in (missing, MemoryGroupWatch(memory_rig.broker, topic=topic, group=group)):
        with pytest.raises(TransportError, match=topic):
            watch.look()


def test_broker_that_is_away_is_an_error_until_it_is_back(memory_rig: MemoryRig, group: str) -> None:
    watch = memory_rig.group_watch(group)
    memory_rig.broker.available = False
    with pytest.raises(TransportError):
        watch.look()
    memory_rig.broker.available = True
    assert watch.look().members == 0


def test_a_look_that_waits_is_interrupted_by_another_thread(monkeypatch: pytest.MonkeyPatch, group: str) -> None:
    monkeypatch.setattr("qc_worker.transport.kafka.group.group_watch.TIMEOUT_MS", PATIENCE_MS)
    with silent_address() as (address, listening):
        watch = KafkaGroupWatch(KafkaAccess(address), topic="images", group=group)
        errors: list[str] = []

        def look() -> None:
            try:
                watch.look()
            except TransportError as error:
                errors.append(str(error))

        looking = Thread(target=look)
        looking.start()
        with listening.accept()[0]:
            eventually(lambda: _ended(watch, looking))
    assert errors
    with pytest.raises(TransportError, match="interrupted"):
        watch.look()
    watch.close()


def _looked(watch: GroupWatch) -> GroupState | None:
    """A broker's first question for any group makes the topic of its offsets: until then no coordinator is known."""
    with suppress(TransportError):
        return watch.look()
    return None


def _ended(watch: KafkaGroupWatch, thread: Thread) -> bool:
    watch.interrupt()
    thread.join(0.05)
    return not thread.is_alive()
