"""Count what was judged in the last minutes, by line, in memory: no query counts it again for each page."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import NamedTuple

from qc_dashboard.history.search import StoredInspection
from qc_worker.domain.inspection import Verdict

WINDOW_S = 900
RATE_S = 60
SECOND_US = 1_000_000
MAX_PARTITIONS = 1_000
"""Most partitions of a line that are told apart."""


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
    last_us: Mapping[str, int] = field(default_factory=dict)
    """Second of each version's newest verdict, in microseconds since 1970."""
    partitions: Mapping[int, str] = field(default_factory=dict)
    """Version of the newest verdict on each partition of the frames' topic: one worker reads a partition at a time."""


class Tallies:
    """Counts by line and second; threads may share it."""

    def __init__(self) -> None:
        self._lines: dict[str | None, dict[int, Counter[_Kind]]] = {}
        self._partitions: dict[str | None, dict[int, tuple[int, str]]] = {}
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
                    self._note_partition(one, second)
            self._forget(oldest)

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._lines.clear()
            self._partitions.clear()

    def by_line(self, *, now_us: int) -> dict[str | None, LineTally]:
        """Return what was judged in the window."""
        with self._lock:
            self._forget(_second(now_us) - WINDOW_S)
            return {
                line: _tally(seconds, self._partitions.get(line, {}), _second(now_us))
                for line, seconds in self._lines.items()
            }

    def _note_partition(self, one: StoredInspection, second: int) -> None:
        if one.model_version is None:
            return
        newest, partition = self._partitions.setdefault(one.line, {}), one.source.partition
        is_told_apart = partition in newest or len(newest) < MAX_PARTITIONS
        # Of one second, what was read last counts.
        if is_told_apart and second >= newest.get(partition, (0, ""))[0]:
            newest[partition] = (second, one.model_version)

    def _forget(self, oldest: int) -> None:
        """Drop what lies before the window; lines without verdicts in it go too."""
        for line, seconds in list(self._lines.items()):
            for second in [second for second in seconds if second <= oldest]:
                del seconds[second]
            if not seconds:
                del self._lines[line]
                self._partitions.pop(line, None)


def _tally(seconds: Mapping[int, Counter[_Kind]], newest: Mapping[int, tuple[int, str]], now: int) -> LineTally:
    counts: Counter[Verdict] = Counter()
    versions: Counter[str] = Counter()
    last: dict[str, int] = {}
    late = last_minute = 0
    for second, kinds in seconds.items():
        for kind, count in kinds.items():
            counts[kind.verdict] += count
            late += count if kind.late else 0
            last_minute += count if second > now - RATE_S else 0
            if kind.version is not None:
                versions[kind.version] += count
                last[kind.version] = max(last.get(kind.version, 0), second * SECOND_US)
    partitions = {number: version for number, (second, version) in newest.items() if second > now - WINDOW_S}
    return LineTally(last_minute, counts, late, versions, last, partitions)


def _second(us: int) -> int:
    return us // SECOND_US
