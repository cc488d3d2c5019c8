"""Reads and writes Kafka headers; only those that are used are read, and a bad one does not affect the others."""

import re
from collections.abc import Collection, Iterable
from datetime import UTC, datetime, timedelta

Headers = tuple[tuple[str, bytes], ...]

INSPECTION_TYPE = "io.qc-worker.inspection.v1"
"""CloudEvents type of the records on `results`."""
CONTENT_BYTES_HEADER = "qc-content-bytes"
"""On a truncated dead letter: the number of bytes of the original frame."""
HEADER_BYTES_HEADER = "qc-header-bytes"
"""On a dead letter without its own headers: the number of bytes that they had."""

MAX_HEADER_BYTES = 8192

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NUMBER = re.compile(r"[0-9]{1,24}(\.[0-9]{1,12})?([eE]\+?[0-9]{1,2})?\Z", re.ASCII)
_SECONDS_OF_2000, _SECONDS_OF_2100 = 946_684_800, 4_102_444_800
_UNITS_IN_A_SECOND = (1, 1_000, 1_000_000, 1_000_000_000)
"""Seconds, milliseconds, microseconds, nanoseconds: the years 2000 to 2100 look different in each."""


def read_headers(headers: Headers, wanted: Collection[str]) -> dict[str, bytes]:
    """Return the wanted headers that are not empty, by lower-case name; the last of a name counts."""
    found = {name.lower(): raw for name, raw in headers}
    return {name: found[name] for name in wanted if found.get(name)}


def text_of(raw: bytes) -> str:
    """Decode a header's text. Raises ValueError: too long, or not UTF-8."""
    if len(raw) > MAX_HEADER_BYTES:
        raise ValueError(f"longer than {MAX_HEADER_BYTES} bytes")
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise ValueError("not UTF-8") from None


def write_headers(pairs: Iterable[tuple[str, str | None]]) -> list[tuple[str, bytes]]:
    """Encode the headers that have a value."""
    return [(name, text.encode()) for name, text in pairs if text is not None]


def parse_time(text: str) -> datetime:
    """Parse ISO 8601 with an offset, or a number since 1970 whose size shows its unit, to UTC. Raises ValueError."""
    text = text.strip()
    if _NUMBER.match(text):
        return _since_1970(text)
    try:
        stamp = datetime.fromisoformat(text)
        if stamp.tzinfo is not None:
            return stamp.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(f"{text[:40]!r} is not a time: use ISO 8601 with an offset, or a number since 1970") from None
    raise ValueError(f"{text[:40]!r} has no time zone: add an offset, such as Z or +02:00")


def _since_1970(text: str) -> datetime:
    """Parse a number by its magnitude: seconds, milli-, micro- or nanoseconds of the years 2000 to 2100."""
    for units in _UNITS_IN_A_SECOND:
        seconds = float(text) / units
        if _SECONDS_OF_2000 <= seconds < _SECONDS_OF_2100:
            # Integers are divided exactly: a double holds nanoseconds since 1970 only to about 200 of them.
            return _EPOCH + (_exact(int(text), units) if text.isdecimal() else timedelta(seconds=seconds))
    raise ValueError(
        f"{text[:40]!r} is not a time from 2000 to 2100 in seconds, milli-, micro- or nanoseconds since 1970"
    )


def _exact(number: int, units: int) -> timedelta:
    return timedelta(microseconds=number * 1_000_000 // units)
