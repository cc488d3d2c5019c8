"""Writes and reads the headers of dead letters: the original ones, with reason and origin added."""

from qc_worker.domain.frame import Position
from qc_worker.domain.inspection import DeadLetter
from qc_worker.wire.headers import Headers, write_headers

REASON_HEADER = "qc-reason"
DETAIL_HEADER = "qc-detail"
SOURCE_HEADER = "qc-source"


def dead_letter_headers(letter: DeadLetter) -> list[tuple[str, bytes]]:
    """Return the original headers, followed by reason, detail and position of the original record."""
    return [
        *letter.headers,
        *write_headers(
            [
                (REASON_HEADER, letter.reason),
                (DETAIL_HEADER, letter.detail),
                (SOURCE_HEADER, str(letter.source)),
            ]
        ),
    ]


def dead_letter_source(headers: Headers) -> Position:
    """Read the position of the original record; our header is the last of its name. Raises ValueError."""
    for name, raw in reversed(headers):
        if name == SOURCE_HEADER:
            return Position.parse(raw.decode(errors="replace"))
    raise ValueError(f"no header {SOURCE_HEADER}")
