"""Ask the broker every few seconds for the workers and for what waits for them; pages get the last answer."""

from dataclasses import dataclass
from datetime import datetime
from threading import Event, Lock, Thread
from time import monotonic

import structlog

from qc_dashboard.api.live.group_past import GroupPast
from qc_dashboard.projecting.ending import end
from qc_worker.domain.errors import QcError
from qc_worker.ports.clock import Clock
from qc_worker.ports.groups import GroupState, GroupWatch

LOOK_EVERY_S = 3.0
STALE_S = 12.0
"""Age from which an answer says nothing about now."""
STOP_TIMEOUT_S = 1.0
NOT_ASKED = "the broker was not asked yet"
NO_ANSWER = "the broker does not answer"

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class WorkersState:
    """What was known last; `asked_at` None: nothing is known about now, for this reason."""

    asked_at: datetime | None = None
    alive: int | None = None
    usual: int | None = None
    waiting: int | None = None
    oldest_waits_s: float | None = None
    arriving_per_s: float | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class _Look:
    at_s: float
    at: datetime
    state: GroupState


class Workers:
    """Asks in a thread of its own, so that no request waits for the broker; `step` is what the thread repeats."""

    def __init__(self, watch: GroupWatch, *, clock: Clock) -> None:
        self._watch = watch
        self._clock = clock
        self._past = GroupPast()
        self._last: _Look | None = None
        self._reason = NOT_ASKED
        self._lock = Lock()
        self._stop = Event()
        self._thread = Thread(target=self._run, name="workers", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self) -> None:
        """Stop, and end a look that waits for the broker."""
        self._stop.set()
        end(self._thread, self._watch.interrupt, until_s=monotonic() + STOP_TIMEOUT_S)

    def step(self) -> None:
        """Ask once; an error is what `state` tells then."""
        try:
            state = self._watch.look()
        except QcError as error:
            if not self._stop.is_set():
                self._fail(str(error))
            return
        with self._lock:
            self._last = _Look(self._clock.monotonic(), self._clock.now(), state)
            self._past.add(self._last.at_s, state)
            self._reason = NO_ANSWER

    def state(self) -> WorkersState:
        """Return what is known about now."""
        with self._lock:
            last, now_s = self._last, self._clock.monotonic()
            if last is None or now_s - last.at_s > STALE_S:
                return WorkersState(reason=self._reason)
            return WorkersState(
                asked_at=last.at,
                alive=last.state.members,
                usual=self._past.usual_size(),
                waiting=last.state.waiting,
                oldest_waits_s=self._past.oldest_waits_s(now_s),
                arriving_per_s=self._past.arriving_per_s(),
            )

    def _fail(self, reason: str) -> None:
        with self._lock:
            if reason != self._reason:
                log.warning("workers not known", reason=reason)
            self._reason = reason

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                try:
                    self.step()
                except Exception as error:
                    # A defect must not end the thread unseen while pages are still served.
                    log.exception("workers not known")
                    self._fail(f"{type(error).__name__}, see the log")
                self._stop.wait(LOOK_EVERY_S)
        finally:
            self._watch.close()
