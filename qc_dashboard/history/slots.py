"""Divide time into slots: buckets of equal length since 1970, of which long spans are put together."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from sqlalchemy import ColumnElement

SECOND_US = 1_000_000
SLOTS_US = (300 * SECOND_US, 3_600 * SECOND_US, 86_400 * SECOND_US)
"""Lengths for which inspections are counted as they are written, each a multiple of the one before."""
DAY_US = SLOTS_US[-1]
MAX_BUCKETS = 120
LADDER_US = tuple(length_s * SECOND_US for length_s in (300, 900, 3_600, 10_800, 21_600, 86_400, 7 * 86_400))
SHORT = ((10 * SECOND_US, 600 * SECOND_US), (60 * SECOND_US, 1_800 * SECOND_US))
"""Buckets shorter than any slot, each with the longest span that has them: there, each inspection is counted."""


class Span(NamedTuple):
    """A span that is counted from slots of one length; length 0: from the inspections themselves."""

    length_us: int
    since_us: int
    until_us: int


def spans(since_us: int, until_us: int, lengths_us: Sequence[int] = SLOTS_US) -> Iterator[Span]:
    """Divide a span of time into as long slots as fit, in the order of time."""
    if not lengths_us:
        if since_us < until_us:
            yield Span(0, since_us, until_us)
        return
    *shorter, length = lengths_us
    first, last = -(-since_us // length) * length, until_us // length * length
    if first >= last:
        yield from spans(since_us, until_us, shorter)
        return
    yield from spans(since_us, first, shorter)
    yield Span(length, first, last)
    yield from spans(last, until_us, shorter)


def bucket_for(length_us: int) -> int:
    """Choose the length of buckets into which a span is divided: `MAX_BUCKETS` of them at most, but for the edges."""
    for bucket_us, longest_us in SHORT:
        if length_us <= longest_us:
            return bucket_us
    for bucket_us in LADDER_US:
        if length_us <= bucket_us * MAX_BUCKETS:
            return bucket_us
    return -(-length_us // (MAX_BUCKETS * DAY_US)) * DAY_US


def slot_of(time: ColumnElement[int], length_us: int) -> ColumnElement[int]:
    """Return the start of a time's slot; before 1970 a remainder is negative, on both databases."""
    remainder = (time % length_us + length_us) % length_us
    return time - remainder
