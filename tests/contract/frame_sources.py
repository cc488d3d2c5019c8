"""Members of a consumer group in tests: joining, polling, falling silent."""

from collections.abc import Sequence
from time import monotonic

from qc_worker.domain.frame import Record
from qc_worker.ports.frames import FrameSource
from qc_worker.transport.kafka.group.frame_source import KafkaFrameSource
from tests.conftest import eventually
from tests.contract.rigs import PARTITIONS, Rig


def joined(rig: Rig, group: str) -> FrameSource:
    """A member that has every partition."""
    source = rig.source(group)
    source.start()
    source.pause()  # so that no record is polled on the way
    eventually(lambda: not source.poll(timeout_s=0.2, max_records=1) and len(source.assignment()) == PARTITIONS)
    source.resume()
    return source


def poll_records(source: FrameSource, count: int) -> Sequence[Record]:
    """The next `count` records."""
    records: list[Record] = []

    def enough() -> bool:
        records.extend(source.poll(timeout_s=0.2, max_records=100))
        return len(records) >= count

    eventually(enough)
    return records


def poll_for(source: FrameSource, duration_s: float) -> Sequence[Record]:
    """Whatever comes within that time."""
    until_s = monotonic() + duration_s
    records: list[Record] = []
    while monotonic() < until_s:
        records += source.poll(timeout_s=0.05, max_records=100)
    return records


def split(rig: Rig, group: str, old: FrameSource) -> FrameSource:
    """Add a member and wait until each has half of the partitions; polls no record."""
    new = rig.source(group)
    new.start()
    for member in (old, new):
        member.pause()
    half = PARTITIONS // 2

    def settled() -> bool:
        for member in (old, new):
            assert not member.poll(timeout_s=0.1, max_records=1)
        return len(old.assignment()) == len(new.assignment()) == half

    eventually(settled, timeout_s=90)
    for member in (old, new):
        member.resume()
    return new


def die(source: FrameSource) -> None:
    """Fall silent without leaving the group, as a killed process does."""
    assert isinstance(source, KafkaFrameSource)
    source.member._connections.close()
