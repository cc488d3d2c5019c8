"""Drives the demo's model change: feedback for good frames, a retrain in the background, the new version live."""

from datetime import datetime
from enum import StrEnum
from pathlib import Path
from time import monotonic

from qc_worker.domain.errors import TrainingError
from qc_worker.domain.feedback import Feedback, Judgement
from qc_worker.domain.inspection import Verdict
from qc_worker.domain.release import Release
from qc_worker.embedded.demo.feeder import Feeder
from qc_worker.embedded.demo.processes import Program, Trainer, WorkerProgram
from qc_worker.embedded.demo.tally import JudgedFrame, Tally
from qc_worker.ports.clock import Clock
from qc_worker.ports.feedback import FeedbackOutbox
from qc_worker.ports.models import ModelStore

ACCEPTED_FRAMES = 24
TAKE_UP_TIMEOUT_S = 60.0
SLOWDOWN = 1.5
"""A retrain beside a running worker takes about this many times as long as one without."""


class Step(StrEnum):
    """Progress of the model change; people see these words."""

    WATCHING = "watching"
    RETRAINING = "feedback sent, retraining while frames flow"
    ANNOUNCED = "new model announced"
    TAKEN_UP = "new model live"
    LATE = "new model announced, but not live in time"


class Refresh:
    """State machine of the model change; call `advance` repeatedly."""

    def __init__(
        self, line: str, *, tally: Tally, feeder: Feeder, worker: WorkerProgram, trainer: Trainer, store: ModelStore
    ) -> None:
        self._line = line
        self._tally = tally
        self._feeder = feeder
        self._worker = worker
        self._trainer = trainer
        self._store = store
        self._program: Program | None = None
        self._releases_before = 0
        self._announced_s = 0.0
        self.step = Step.WATCHING
        self.release: Release | None = None

    def has_candidates(self) -> bool:
        """Return True if a good frame has passed, so that it can be accepted."""
        return any(map(_is_accepted, self._tally.judged(self._line)))

    def begin(self, feedback: FeedbackOutbox, clock: Clock, *, seed: int, log: Path) -> None:
        """Send feedback for some good frames that passed, and start the retrain."""
        accepted = [frame for frame in self._tally.judged(self._line) if _is_accepted(frame)][:ACCEPTED_FRAMES]
        for frame in accepted:
            feedback.send(_feedback(frame, clock.now()))
        self._releases_before = self._worker.releases_taken_up()
        self._program = self._trainer.start_retrain(self._line, seed=seed, log=log)
        self.step = Step.RETRAINING

    def stretch(self, frames_left: int, *, retrain_s: float) -> None:
        """Slow down so that the frames that are left last as long as the retrain probably takes."""
        self._feeder.ask_rate(min(self._feeder.wanted_hz, frames_left / (retrain_s * SLOWDOWN)))

    def advance(self, *, full_rate_hz: float) -> None:
        """Move on to the next step if it is reached. Raises TrainingError if the retrain failed."""
        if self.step is Step.RETRAINING and self._retrained():
            self.release = self._store.releases(self._line)[-1]
            self._announced_s = monotonic()
            self.step = Step.ANNOUNCED
        if self.step is Step.ANNOUNCED:
            self._await_take_up(full_rate_hz)

    def swap_s(self) -> float | None:
        """Return the seconds from the announcement to the new version's first inspection; None if there is none."""
        if self.release is None:
            return None
        first = self._tally.first_scored_at(self._line, self.release.version)
        return None if first is None else (first - self.release.released_at).total_seconds()

    def stop(self) -> None:
        """Stop a retrain that is still running."""
        if self._program is not None:
            self._program.stop()

    def _retrained(self) -> bool:
        code = self._program.exit_code() if self._program else None
        if code:
            words = self._program.last_words() if self._program else ""
            raise TrainingError(f"the retrain of line {self._line} ended with code {code}: {words}")
        return code == 0

    def _await_take_up(self, full_rate_hz: float) -> None:
        if self._worker.releases_taken_up() > self._releases_before or self.swap_s() is not None:
            self.step = Step.TAKEN_UP
        elif monotonic() - self._announced_s > TAKE_UP_TIMEOUT_S:
            self.step = Step.LATE
        else:
            return
        self._feeder.ask_rate(full_rate_hz)
        self._feeder.release_reserve()


def _is_accepted(frame: JudgedFrame) -> bool:
    return frame.inspection.verdict is Verdict.PASS and frame.sent.defect is None


def _feedback(frame: JudgedFrame, accepted_at: datetime) -> Feedback:
    return Feedback(
        line=frame.sent.line,
        frame_id=frame.sent.frame_id,
        source=frame.inspection.source,
        verdict=Judgement.GOOD,
        accepted_by="qc-worker demo",
        accepted_at=accepted_at,
        model_version=frame.inspection.model_version,
    )
