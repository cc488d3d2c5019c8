"""Judge frames again when people ask for it: one after the other, the last results kept in memory."""

from collections import deque
from collections.abc import Callable
from dataclasses import fields, replace
from threading import Condition, Event, Thread

import structlog

from qc_dashboard.replaying.command import ReplayFailed, Report
from qc_dashboard.replaying.replay import Replay, ReplayState
from qc_worker.domain.errors import QcError
from qc_worker.domain.frame import Position
from qc_worker.ports.clock import Clock

MAX_WAITING = 8
KEPT = 64
STOP_TIMEOUT_S = 2.0
OPEN = (ReplayState.WAITING, ReplayState.RUNNING)

log = structlog.get_logger()


class TooMany(QcError):
    """Too many frames wait already to be judged again."""


class Replays:
    """Replays of all frames; threads may share it."""

    def __init__(self, run: Callable[[Replay, Event], Report], clock: Clock) -> None:
        self._run_one = run
        self._clock = clock
        self._replays: deque[Replay] = deque(maxlen=KEPT)
        self._changed = Condition()
        self._stop = Event()
        self._thread = Thread(target=self._run, name="replays", daemon=True)

    def ask(self, source: Position, version: str | None, *, by: str) -> Replay:
        """Have the frame judged again; what was asked already is not asked twice. Raises TooMany."""
        with self._changed:
            waiting = [one for one in self._replays if one.state in OPEN]
            same = [one for one in waiting if (one.source, one.version) == (source, version)]
            if same:
                return same[0]
            if len(waiting) >= MAX_WAITING:
                raise TooMany(f"{len(waiting)} frames wait already to be judged again")
            asked = Replay(source, version, by, self._clock.now())
            self._replays.append(asked)
            self._changed.notify()
        return asked

    def of(self, source: Position) -> tuple[Replay, ...]:
        """Return the replays of that frame, newest first."""
        with self._changed:
            return tuple(one for one in reversed(self._replays) if one.source == source)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self) -> None:
        """Stop; a replay that runs is ended."""
        self._stop.set()
        with self._changed:
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join(STOP_TIMEOUT_S)

    def _run(self) -> None:
        while (asked := self._next()) is not None:
            self._put(asked, self._done(asked))

    def _next(self) -> Replay | None:
        """Wait for the next one, and note that it runs; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._stop.is_set() or self._first_waiting() is not None)
            asked = None if self._stop.is_set() else self._first_waiting()
            if asked is None:
                return None
            running = replace(asked, state=ReplayState.RUNNING)
            self._replays[self._replays.index(asked)] = running
            return running

    def _first_waiting(self) -> Replay | None:
        return next((one for one in self._replays if one.state is ReplayState.WAITING), None)

    def _done(self, asked: Replay) -> Replay:
        try:
            report = self._run_one(asked, self._stop)
        except (ReplayFailed, QcError, OSError) as error:
            log.warning("replay failed", position=str(asked.source), reason=str(error))
            return replace(asked, state=ReplayState.FAILED, failure=str(error))
        except Exception as error:
            # A defect must not end the thread: all later replays would wait for ever.
            log.exception("replay failed", position=str(asked.source))
            failure = f"the dashboard has a defect ({type(error).__name__}): see its log"
            return replace(asked, state=ReplayState.FAILED, failure=failure)
        facts = {each.name: getattr(report, each.name) for each in fields(report)}
        return replace(asked, state=ReplayState.DONE, **facts)

    def _put(self, before: Replay, after: Replay) -> None:
        with self._changed:
            if before in self._replays:
                self._replays[self._replays.index(before)] = after
