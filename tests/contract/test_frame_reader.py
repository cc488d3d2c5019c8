"""FrameReader: one recorded frame by its position."""

from dataclasses import replace
from time import monotonic

import pytest

from tests.contract.rigs import Rig, frame


def test_each_frame_is_found_by_its_position_in_any_order(rig: Rig) -> None:
    positions = [frame(rig, b"frame %d" % index, partition=index % 2) for index in range(6)]
    reader = rig.frame_reader()
    for index in (5, 0, 3, 3, 1):
        record = reader.read(positions[index])
        assert record is not None
        assert (record.position, record.content) == (positions[index], b"frame %d" % index)
        assert record.headers == (("line", b"A"), ("camera", b"cam1"))


def test_position_beyond_the_end_is_none_quickly(rig: Rig) -> None:
    position = frame(rig, b"frame")
    reader = rig.frame_reader()
    began_s = monotonic()
    assert reader.read(replace(position, offset=position.offset + 1)) is None
    assert reader.read(replace(position, offset=position.offset + 1_000_000)) is None
    assert monotonic() - began_s < 5


def test_frame_that_came_after_a_vain_attempt_is_found(rig: Rig) -> None:
    first = frame(rig, b"first")
    reader = rig.frame_reader()
    assert reader.read(replace(first, offset=first.offset + 1)) is None
    second = frame(rig, b"second")
    record = reader.read(second)
    assert record is not None
    assert record.content == b"second"


def test_partition_that_does_not_exist_is_none(rig: Rig) -> None:
    position = frame(rig, b"frame")
    assert rig.frame_reader().read(replace(position, partition=77)) is None


def test_a_frame_of_15_mb_is_read_back_whole(rig: Rig) -> None:
    content = bytes(range(256)) * (15 * 1024 * 1024 // 256)
    record = rig.frame_reader().read(frame(rig, content))
    assert record is not None
    assert record.content == content


@pytest.mark.parametrize("rig", ["memory", "apache"], indirect=True)  # Tansu deletes no records
def test_frame_that_retention_removed_is_none(rig: Rig) -> None:
    positions = [frame(rig, b"frame %d" % index) for index in range(3)]
    rig.remove_before(positions[2])
    reader = rig.frame_reader()
    assert reader.read(positions[0]) is None
    record = reader.read(positions[2])
    assert record is not None
    assert record.content == b"frame 2"
