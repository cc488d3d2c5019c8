"""Find a plant's shifts and days in its time zone, across changes to and from daylight-saving time."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Between:
    """A span of time, its end excluded; both in the plant's zone."""

    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class Shifts:
    """When shifts begin each day. A shift lasts until the next one begins, so each moment lies in exactly one.

    On the day on which clocks go forward, a shift that would begin in the hour that is left out begins after it; on the
    day on which they go back, a shift begins at the first of two equal times.
    """

    starts: tuple[time, ...]
    zone: ZoneInfo

    def at(self, moment: datetime, *, back: int = 0) -> Between:
        """Return the shift of that moment, or the one that many shifts before it."""
        today = moment.astimezone(self.zone).date()
        days = [today + number * DAY for number in range(-back - 2, 3)]
        # A set, and sorted by time itself: two starts may fall together when clocks go forward.
        begins = sorted({self._begin(day, start) for day in days for start in self.starts})
        index = max(number for number, begin in enumerate(begins) if begin <= moment)
        return self._between(begins[index - back], begins[index - back + 1])

    def day(self, moment: datetime, *, back: int = 0) -> Between:
        """Return the calendar day of that moment, or the one that many days before it."""
        day = moment.astimezone(self.zone).date() - back * DAY
        return self._between(self._begin(day, time()), self._begin(day + DAY, time()))

    def _begin(self, day: date, start: time) -> datetime:
        return datetime.combine(day, start, self.zone).astimezone(UTC)

    def _between(self, since: datetime, until: datetime) -> Between:
        return Between(since.astimezone(self.zone), until.astimezone(self.zone))


NAMED: dict[str, tuple[str, Callable[[Shifts, datetime], Between]]] = {
    "this-shift": ("This shift", lambda shifts, now: shifts.at(now)),
    "last-shift": ("Last shift", lambda shifts, now: shifts.at(now, back=1)),
    "today": ("Today", lambda shifts, now: shifts.day(now)),
    "yesterday": ("Yesterday", lambda shifts, now: shifts.day(now, back=1)),
}
"""Spans that people ask for by name, with their labels."""
