from qc_worker.domain.errors import Reason
from qc_worker.domain.frame import Position
from qc_worker.domain.inspection import DeadLetter
from qc_worker.wire.dead_letters import dead_letter_headers

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
