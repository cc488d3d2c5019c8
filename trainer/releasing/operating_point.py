"""Move a line's threshold without retraining (`qc-trainer threshold` with a value)."""

import hashlib
import math
import tempfile
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from qc_worker.domain.calibration import Calibration, smallest_alpha
from qc_worker.domain.errors import TrainingError
from qc_worker.domain.names import LineName
from qc_worker.domain.release import Release, ReleaseAction, live_version
from qc_worker.ports.clock import Clock
from qc_worker.ports.models import ModelStore, ReleaseLog
from qc_worker.registry.releasing import go_live
from qc_worker.simplenet.checkpoint import CARD_FILE, ModelCard, file_sha256, new_version, save_card
from trainer.interrupts import interrupts_held
from trainer.releasing.versions import open_model, version_to_judge

CALIBRATION = TypeAdapter(Calibration)


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """The operating point asked for: a false-reject rate or a score, not both."""

    max_false_reject: float | None = None
    score: float | None = None
    review_rate: float | None = None
    """None keeps the current review rate; 0 means no review."""

    @property
    def is_asked_for(self) -> bool:
        """True if there is a rate or a score to move to."""
        return self.max_false_reject is not None or self.score is not None


@dataclass(frozen=True, slots=True)
class Moved:
    """Result of a move: the card of the new version, and that of the version it was derived from."""

    card: ModelCard
    before: ModelCard
    announced: bool


@dataclass(frozen=True, slots=True)
class ThresholdMover:
    """Makes versions that share a head and differ in the threshold; without `releases`, they do not go live."""

    models: ModelStore
    releases: ReleaseLog | None
    clock: Clock

    def move(self, line: LineName, version: str | None, wanted: OperatingPoint) -> Moved:
        """Store a version with another threshold, then let it go live. Raises QcError.

        It is derived from `version`; if that is None, from the live version, else from the newest. The caller must
        hold the line's lock.
        """
        before = open_model(self.models, line, version_to_judge(self.models, line, version)).card
        calibration = moved(before.calibration, wanted)
        if calibration == before.calibration:
            raise TrainingError(self._nothing_to_move(before))
        card = self._card(before, calibration)
        with tempfile.TemporaryDirectory(prefix="qc-trainer-") as temporary:
            folder = Path(temporary)
            save_card(folder, card)
            with interrupts_held():
                self.models.add(folder, line=line, version=card.version)
                if self.releases is not None:
                    go_live(self.models, self.releases, self._release(card, file_sha256(folder / CARD_FILE)))
        return Moved(card, before, announced=self.releases is not None)

    def _card(self, before: ModelCard, calibration: Calibration) -> ModelCard:
        created_at = self.clock.now()
        return before.model_copy(
            update={
                "version": new_version(created_at, _digest(before.head_sha256, calibration)),
                "created_at": created_at,
                "calibration": calibration,
                # The version that owns the head, so that versions never form a chain.
                "head_of": before.head_of or before.version,
                "derived_from": before.version,
            }
        )

    def _release(self, card: ModelCard, card_sha256: str) -> Release:
        return Release(
            line=card.line,
            version=card.version,
            card_sha256=card_sha256,
            threshold=card.calibration.threshold,
            released_at=self.clock.now(),
            action=ReleaseAction.THRESHOLD,
            metrics={
                "calibration_samples": len(card.calibration.scores),
                "max_false_reject": card.calibration.max_false_reject,
            },
        )

    def _nothing_to_move(self, card: ModelCard) -> str:
        same = f"version {card.version} already has this threshold, {card.calibration.threshold:g}"
        if live_version(self.models.releases(card.line)) == card.version:
            return f"{same}, and is live: nothing to do"
        return f"{same}; to let it go live: qc-trainer promote --line {card.line} --version {card.version}"


def moved(calibration: Calibration, wanted: OperatingPoint) -> Calibration:
    """Move a calibration to the operating point asked for. Raises TrainingError."""
    review_rate = calibration.review_rate if wanted.review_rate is None else wanted.review_rate or None
    try:
        if wanted.score is not None:
            _check_score(calibration, wanted.score)
            return calibration.moved_to_score(wanted.score, review_rate=review_rate)
        if wanted.max_false_reject is None:
            raise ValueError("no threshold is asked for: give --max-false-reject or --score")
        _check_rate(calibration, wanted.max_false_reject)
        return calibration.moved_to_rate(wanted.max_false_reject, review_rate=review_rate)
    except ValueError as error:
        kept = review_rate is not None and wanted.review_rate is None
        advice = f" (the version's review rate is {review_rate:g}: give --review-rate, 0 for no review)" if kept else ""
        raise TrainingError(f"{error}{advice if 'review_rate' in str(error) else ''}") from None


def _check_score(calibration: Calibration, score: float) -> None:
    if not math.isfinite(score):
        raise ValueError("the score must be a finite number")
    if score < calibration.scores[0]:
        raise ValueError(
            f"a threshold of {score:g} would reject all {len(calibration.scores)} held-out good frames; "
            f"their scores range from {calibration.scores[0]:g} to {calibration.scores[-1]:g}"
        )


def _check_rate(calibration: Calibration, rate: float) -> None:
    lowest = smallest_alpha(len(calibration.scores))
    if rate < lowest:
        # Rounded up: a rate that is rounded down would be refused when the user asks for it.
        shown = math.ceil(lowest * 10_000) / 10_000
        raise ValueError(
            f"{len(calibration.scores)} held-out frames support false-reject rates of at least {shown}, not {rate:g}: "
            "add good samples and retrain, or give --score, which cannot promise a lower rate either"
        )


def _digest(head_sha256: str, calibration: Calibration) -> str:
    """Return a digest for the version's name: versions that share a head differ in their calibration."""
    return hashlib.sha256(head_sha256.encode() + CALIBRATION.dump_json(calibration)).hexdigest()
