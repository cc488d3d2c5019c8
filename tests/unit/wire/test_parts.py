"""The part's serial number in a frame's headers."""

import pytest
from hypothesis import given

from qc_worker.wire.images import decode_record, encode_frame
from tests.unit.wire.strategies import NOON, parts, record


@given(part=parts)
def test_decoding_gives_back_the_part_that_the_camera_encoded(part: str) -> None:
    message = encode_frame(b"x", line="A", camera="top", captured_at=NOON, part=part)
    assert decode_record(record(*message.headers)).part == part


def test_a_part_is_optional_and_its_plain_header_wins_over_the_events_subject() -> None:
    assert decode_record(record()).part is None
    assert decode_record(record(("ce_subject", b"4711"))).part == "4711"
    assert decode_record(record(("ce_subject", b"4711"), ("part", b"4712"))).part == "4712"


def test_blanks_around_a_serial_number_are_not_part_of_it() -> None:
    assert decode_record(record(("part", b" SN 47/11\r\n"))).part == "SN 47/11"


def test_subject_of_the_event_stands_in_for_a_part_that_cannot_be_used() -> None:
    frame = decode_record(record(("part", b"x" * 129), ("ce_subject", b"4711")))
    assert frame.part == "4711"
    assert [str(header) for header in frame.ignored] == ["header part ignored: longer than 128 characters"]


@pytest.mark.parametrize("part", ["", " ", "x" * 129, "47\n11", "47\u202e11"])
def test_camera_cannot_encode_a_part_that_the_worker_would_ignore(part: str) -> None:
    with pytest.raises(ValueError, match=r"128 characters|is not a part's serial number"):
        encode_frame(b"x", line="A", camera="top", captured_at=NOON, part=part)
