"""Count what was judged in the last minutes, by line, in memory: no query counts it again for each page."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from threading import Lock
from typing import NamedTuple

from qc_dashboard.history.search import StoredInspection
from qc_worker.domain.inspection import Verdict

WINDOW_S = 900
RATE_S = 60
SECOND_US = 1_000_000


class _Kind(NamedTuple):
    verdict: Verdict
    version: str | None
    late: bool


@dataclass(frozen=True, slots=True)
class LineTally:
    """What was judged on a line in the window, by the time of the verdict."""

    frames_last_minute: int
    counts: Mapping[Verdict, int]
    late: int
    versions: Mapping[str, int]
    """Frames by the version that judged them."""


class Tallies:
    """Counts by line and second; threads may share it."""

    def __init__(self) -> None:
        self._lines: dict[str | None, dict[int, Counter[_Kind]]] = {}
        self._lock = Lock()

    def add(self, found: Iterable[StoredInspection], *, now_us: int) -> None:
        """Count these; verdicts from the future, of a clock that is ahead, count as now."""
        oldest, latest = _second(now_us) - WINDOW_S, _second(now_us)
        with self._lock:
            for one in found:
                second = min(_second(one.scored_us), latest)
                if second > oldest:
                    seconds = self._lines.setdefault(one.line, {})
                    seconds.setdefault(second, Counter())[_Kind(one.verdict, one.model_version, one.late)] += 1
            self._forget(oldest)

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._lines.clear()

    def by_line(self, *, now_us: int) -> dict[str | None, LineTally]:
        """Return what was judged in the window."""
        with self._lock:
            self._forget(_second(now_us) - WINDOW_S)
            return {line: _tally(seconds, _second(now_us)) for line, seconds in self._lines.items()}

    def _forget(self, oldest: int) -> None:
        """Drop what lies before the window; lines without verdicts in it go too."""
        for line, seconds in list(self._lines.items()):
            for second in [second for second in seconds if second <= oldest]:
                del seconds[second]
            if not seconds:
                del self._lines[line]


def _tally(seconds: Mapping[int, Counter[_Kind]], now: int) -> LineTally:
    counts: Counter[Verdict] = Counter()
    versions: Counter[str] = Counter()
    late = last_minute = 0
    for second, kinds in seconds.items():
        for kind, count in kinds.items():
            counts[kind.verdict] += count
            late += count if kind.late else 0
            last_minute += count if second > now - RATE_S else 0
            if kind.version is not None:
                versions[kind.version] += count
    return LineTally(last_minute, counts, late, versions)


def _second(us: int) -> int:
    return us // SECOND_US
