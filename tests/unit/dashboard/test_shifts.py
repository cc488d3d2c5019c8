"""Shifts across changes to and from daylight-saving time."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from qc_dashboard.reporting.shifts import NAMED, Shifts
from qc_dashboard.settings import DashboardSettings, shift_start, zone_named

BERLIN = ZoneInfo("Europe/Berlin")
PLANT = Shifts((time(6), time(14), time(22)), BERLIN)
zones = st.sampled_from(
    ["Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "Asia/Kathmandu", "Africa/Casablanca"]
)
starts = st.lists(
    st.builds(time, st.integers(0, 23), st.sampled_from([0, 15, 30, 59])), min_size=1, max_size=5, unique=True
)
# Near the changes of clocks of several years, where it is hard, and anywhere else.
moments = st.datetimes(datetime(2024, 1, 1), datetime(2028, 1, 1)) | st.builds(
    lambda year, day, seconds: datetime(year, *day) + timedelta(seconds=seconds),
    st.integers(2024, 2027),
    st.sampled_from([(3, 29), (3, 31), (10, 25), (10, 27), (11, 1), (4, 5)]),
    st.integers(-86_400, 2 * 86_400),
)


@given(starts=starts, zone=zones, moment=moments, back=st.integers(0, 7))
def test_each_moment_lies_in_one_shift_and_shifts_follow_each_other(
    starts: list[time], zone: str, moment: datetime, back: int
) -> None:
    shifts, now = Shifts(tuple(starts), ZoneInfo(zone)), moment.replace(tzinfo=UTC)
    this = shifts.at(now)
    assert this.since.astimezone(UTC) <= now < this.until.astimezone(UTC)
    assert shifts.at(this.since) == this
    assert shifts.at(this.until).since == this.until
    later, earlier = shifts.at(now, back=back), shifts.at(now, back=back + 1)
    assert earlier.until == later.since
    assert earlier.since.astimezone(UTC) < earlier.until.astimezone(UTC)


@given(zone=zones, moment=moments, back=st.integers(0, 3))
def test_days_follow_each_other_and_begin_on_their_date(zone: str, moment: datetime, back: int) -> None:
    shifts, now = Shifts((time(6),), ZoneInfo(zone)), moment.replace(tzinfo=UTC)
    day = shifts.day(now, back=back)
    assert shifts.day(now, back=back + 1).until == day.since
    assert day.since.date() == now.astimezone(ZoneInfo(zone)).date() - timedelta(days=back)
    assert timedelta(hours=22) < day.until.astimezone(UTC) - day.since.astimezone(UTC) < timedelta(hours=26)


@pytest.mark.parametrize(
    ("now", "hours"),
    [
        (datetime(2026, 3, 29, 0, tzinfo=UTC), 7),  # clocks go forward in this night
        (datetime(2026, 10, 25, 0, tzinfo=UTC), 9),  # and back in this one
        (datetime(2026, 11, 25, 0, tzinfo=UTC), 8),
    ],
)
def test_night_shift_is_an_hour_shorter_or_longer_when_clocks_change(now: datetime, hours: int) -> None:
    shift = PLANT.at(now)
    assert (shift.since.hour, shift.until.hour) == (22, 6)
    assert shift.until.astimezone(UTC) - shift.since.astimezone(UTC) == timedelta(hours=hours)


def test_named_spans() -> None:
    now = datetime(2026, 11, 23, 12, tzinfo=UTC)
    found = {name: span(PLANT, now) for name, (_, span) in NAMED.items()}
    assert {name: (one.since.isoformat(), one.until.isoformat()) for name, one in found.items()} == {
        "this-shift": ("2026-11-23T06:00:00+01:00", "2026-11-23T14:00:00+01:00"),
        "last-shift": ("2026-11-22T22:00:00+01:00", "2026-11-23T06:00:00+01:00"),
        "today": ("2026-11-23T00:00:00+01:00", "2026-11-24T00:00:00+01:00"),
        "yesterday": ("2026-11-22T00:00:00+01:00", "2026-11-23T00:00:00+01:00"),
    }


@pytest.mark.parametrize("wrong", ["6", "24:00", "", "six", "06:00:00"])
def test_start_that_is_no_time_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match="is not the start of a shift"):
        shift_start(wrong)
    with pytest.raises(ValidationError):
        DashboardSettings(shifts=(wrong,))


@pytest.mark.parametrize("wrong", ["Europe/Atlantis", "../../etc/passwd", "x" * 999])
def test_zone_that_is_not_known_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match="is not a time zone"):
        zone_named(wrong)
    with pytest.raises(ValidationError):
        DashboardSettings(time_zone=wrong)


def test_settings_name_shifts_and_zone() -> None:
    defaults = DashboardSettings()
    assert (defaults.shift_starts, defaults.zone) == ((time(6), time(14), time(22)), ZoneInfo("UTC"))
    with pytest.raises(ValidationError, match="at least one"):
        DashboardSettings(shifts=())
