from dataclasses import replace

import pytest

from qc_worker.domain.errors import Reason
from qc_worker.domain.frame import Position
from qc_worker.domain.inspection import DeadLetter
from qc_worker.wire.dead_letters import dead_letter_headers, dead_letter_source

ORIGINAL = (("line", b"../../etc"), ("raw", b"\xff\xfe"))


def dead_letter() -> DeadLetter:
    return DeadLetter(
        source=Position("images", 3, 9),
        key=b"\xff",
        content=b"not a picture",
        headers=ORIGINAL,
        reason=Reason.UNDECODABLE,
        detail="cannot identify image file ünknown",
    )


def test_original_headers_stay_untouched_and_first() -> None:
    assert tuple(dead_letter_headers(dead_letter())[:2]) == ORIGINAL


def test_reason_detail_and_source_are_added() -> None:
    added = dict(dead_letter_headers(dead_letter())[2:])
    assert added == {
        "qc-reason": b"undecodable",
        "qc-detail": "cannot identify image file ünknown".encode(),
        "qc-source": b"images:3:9",
    }


def test_source_is_read_back_even_from_a_dead_letter_of_a_dead_letter() -> None:
    first = dead_letter()
    again = replace(first, source=Position("images", 0, 1), headers=tuple(dead_letter_headers(first)))
    assert dead_letter_source(tuple(dead_letter_headers(again))) == Position("images", 0, 1)


def test_record_without_a_source_is_no_dead_letter() -> None:
    with pytest.raises(ValueError, match="no header qc-source"):
        dead_letter_source(ORIGINAL)
