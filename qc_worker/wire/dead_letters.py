"""Dead letters: the original key, bytes and headers, with the reason added as headers."""

from qc_worker.domain.frame import Position
from qc_worker.domain.inspection import DeadLetter
from qc_worker.wire.headers import Headers, write_headers

REASON_HEADER = "qc-reason"
DETAIL_HEADER = "qc-detail"
SOURCE_HEADER = "qc-source"


def dead_letter_headers(letter: DeadLetter) -> list[tuple[str, bytes]]:
    """The original headers, then why and where the record came from."""
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
    """Where the original record lies, whatever its own headers say: ours come last. Raises ValueError."""
    for name, raw in reversed(headers):
        if name == SOURCE_HEADER:
            return Position.parse(raw.decode(errors="replace"))
    raise ValueError(f"no header {SOURCE_HEADER}")
