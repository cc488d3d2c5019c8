"""RecentInspections: the newest inspections of one line, whatever lies between and before them."""

from dataclasses import replace

import pytest

from qc_worker.domain.frame import Position
from qc_worker.domain.inspection import Outcome
from qc_worker.transport.kafka import recent_inspections
from qc_worker.transport.outgoing import OutgoingRecord
from qc_worker.wire.json_types import encode_inspection
from tests.contract.rigs import Rig, outcome


def publish(rig: Rig, line: str, *offsets: int) -> None:
    sink = rig.sink(lambda _: None)
    sink.start()
    sink.publish([of_line(line, offset) for offset in offsets], {})


def of_line(line: str, offset: int) -> Outcome:
    plain = outcome(Position("images", 0, offset), key=f"{line}/cam1".encode())
    return replace(plain, inspection=replace(plain.inspection, line=line, frame_id=f"f{offset}", score=float(offset)))


def last(rig: Rig, line: str, count: int) -> list[float | None]:
    return [inspection.score for inspection in rig.recent_inspections().last(line, count)]


def test_the_last_inspections_come_oldest_first(rig: Rig) -> None:
    publish(rig, "A", *range(10))
    assert last(rig, "A", 4) == [6, 7, 8, 9]


def test_a_topic_with_fewer_gives_what_there_is(rig: Rig) -> None:
    publish(rig, "A", 0, 1)
    assert last(rig, "A", 100) == [0, 1]
    assert last(rig, "B", 100) == []


def test_other_lines_do_not_count_however_many_lie_behind(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recent_inspections, "GROWTH", 2)
    publish(rig, "A", *range(5))
    publish(rig, "B", *range(100, 160))
    assert last(rig, "A", 3) == [2, 3, 4]
    assert last(rig, "B", 2) == [158, 159]


def test_the_newest_of_all_partitions_are_found_though_one_is_idle(rig: Rig) -> None:
    for number in range(20):
        content = encode_inspection(of_line("A", number).inspection)
        rig.append(OutgoingRecord(rig.topics.results, b"A/cam1", content, []), partition=int(number >= 6))
    assert last(rig, "A", 8) == list(range(12, 20))


def test_what_cannot_be_read_is_left_out(rig: Rig) -> None:
    publish(rig, "A", 0)
    rig.append(OutgoingRecord(rig.topics.results, b"A/cam1", b"not json", []))
    publish(rig, "A", 1)
    assert last(rig, "A", 10) == [0, 1]
