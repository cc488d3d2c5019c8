"""Remember each line's newest inspection, so that no query looks for it again for each page."""

from collections.abc import Iterable
from threading import Lock

from qc_dashboard.history.history import History
from qc_dashboard.history.search import Search, StoredInspection


class Newest:
    """The newest inspections by capture time; threads may share it."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._looked_up: set[str] = set()
        self._newest: dict[str, StoredInspection] = {}
        self._lock = Lock()

    def add(self, found: Iterable[StoredInspection]) -> None:
        """Take what came in into account."""
        with self._lock:
            for one in found:
                self._take(one)

    def clear(self) -> None:
        """Forget everything: the topic was made again."""
        with self._lock:
            self._looked_up.clear()
            self._newest.clear()

    def of(self, line: str) -> StoredInspection | None:
        """Return the line's newest inspection; the history is asked once. Raises DatabaseAway."""
        if line not in self._looked_up:
            stored = self._history.search(Search(line=line), limit=1)
            with self._lock:
                for one in stored:
                    self._take(one)
                self._looked_up.add(line)
        with self._lock:
            return self._newest.get(line)

    def _take(self, one: StoredInspection) -> None:
        if one.line is not None and ((known := self._newest.get(one.line)) is None or one.place > known.place):
            self._newest[one.line] = one
