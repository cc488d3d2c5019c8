"""Values in a query: what is accepted, and that parsing gives back what was written."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qc_dashboard.api.live.event_ids import event_id, places_in
from qc_dashboard.api.parameters.cursors import cursor_of, place_at
from qc_dashboard.api.parameters.fields import parse_integer, parse_number, parse_time
from qc_dashboard.history.search import Place
from qc_worker.domain.frame import Partition, Position

topics = st.text("abcXYZ019._-é:", min_size=1, max_size=249)
positions = st.builds(Position, topics, st.integers(0, 2**31 - 1), st.integers(0, 10**18 - 1))
zones = st.integers(-12 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(st.integers(-(10**17), 10**17), positions)
def test_a_cursor_leads_back_to_its_place(taken_us: int, source: Position) -> None:
    place = Place(taken_us, source)
    assert place_at(cursor_of(place)) == place


@given(st.text(max_size=60) | st.text("ABCabc019-_", max_size=60))
def test_what_is_no_cursor_is_refused(text: str) -> None:
    try:
        place = place_at(text)
    except ValueError:
        return
    assert cursor_of(place) == text


@given(st.dictionaries(st.integers(0, 10**6), st.integers(0, 10**18 - 1), max_size=5))
def test_an_event_id_leads_back_to_its_places(places: dict[int, int]) -> None:
    text = event_id({Partition("results", number): offset for number, offset in places.items()})
    assert places_in(text) == places


@given(st.datetimes(timezones=zones))
def test_a_time_with_its_zone_is_read_as_it_is_meant(time: datetime) -> None:
    assert parse_time(time.isoformat()) == time
    assert parse_time(time.isoformat(" ")) == time


def test_a_time_may_end_with_z() -> None:
    assert parse_time("2026-11-29t08:00:00.25z") == datetime(2026, 11, 29, 8, 0, 0, 250_000, tzinfo=UTC)


@pytest.mark.parametrize("text", ["", "now", "0", "2026-11-29", "2026-11-29T08:00:00", "2026-13-01T00:00:00Z", 5, None])
def test_a_time_that_leaves_room_for_doubt_is_refused(text: Any) -> None:
    with pytest.raises(ValueError, match=r"zone|month"):
        parse_time(text)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_are_read_exactly(number: float) -> None:
    assert parse_number(repr(number)) == number


@pytest.mark.parametrize("text", ["", "nan", "inf", "-inf", "1e999", "1_0", " 1", "1 ", "٣", "0x1", "1.", None])
def test_what_is_no_finite_number_is_refused(text: Any) -> None:
    with pytest.raises(ValueError, match="number"):
        parse_number(text)


@pytest.mark.parametrize("text", ["", "1.0", "1_0", "٣", "9" * 5000, None])
def test_what_is_no_whole_number_is_refused(text: Any) -> None:
    with pytest.raises(ValueError, match="whole number"):
        parse_integer(text)
