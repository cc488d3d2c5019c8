"""From stored samples to a calibrated model, all in memory."""

from collections.abc import Sequence
from dataclasses import dataclass

from qc_worker.domain.calibration import Calibration
from qc_worker.domain.release import Judgement
from qc_worker.simplenet.checkpoint import TrainingSettings
from qc_worker.simplenet.head import Head
from qc_worker.simplenet.metrics import auroc
from qc_worker.simplenet.scorer import Scorer
from trainer.calibrate import calibrate, score_batches
from trainer.features import collect_features
from trainer.fit import fit_head
from trainer.pictures import SampleReader
from trainer.progress import Stages
from trainer.split import Split


@dataclass(frozen=True, slots=True)
class Plan:
    """All that decides what comes out of a training; equal plans on one machine give equal bits."""

    split: Split
    defects: tuple[str, ...]
    """Stored defect samples: never trained on, only judged in the end."""
    training: TrainingSettings
    hidden: int
    max_false_reject: float
    review_rate: float | None
    seed: int


@dataclass(frozen=True, slots=True)
class DefectCheck:
    """How the fitted model judges the line's own stored defects."""

    n: int
    reject_rate: float
    image_auroc: float
    """Against the held-out good samples."""


@dataclass(frozen=True, slots=True)
class Trained:
    """A fitted and calibrated head."""

    head: Head
    calibration: Calibration
    closing_loss: float
    defects: DefectCheck | None


def train(scorer: Scorer, reader: SampleReader, plan: Plan, stages: Stages) -> Trained:
    """Compute features once, fit the head on them, calibrate it on the held-out samples. Raises TrainingError."""
    training = plan.split.training
    with stages.stage("features", len(training)) as advance:
        features = collect_features(
            scorer,
            reader.batches(training),
            n_frames=len(training),
            max_bytes=plan.training.max_feature_bytes,
            seed=plan.seed,
            advance=advance,
        )
    with stages.stage("fit", plan.training.steps) as advance:
        fitted = fit_head(
            features, plan.training, hidden=plan.hidden, seed=plan.seed, device=scorer.device, advance=advance
        )
    del features  # the largest thing in memory, and done with
    with stages.stage("calibrate", len(plan.split.calibration)) as advance:
        head = scorer.take_in(fitted.head)
        held_out = score_batches(scorer, head, reader.batches(plan.split.calibration), advance=advance)
    calibration = calibrate(held_out, alpha=plan.max_false_reject, review_rate=plan.review_rate)
    with stages.stage("defects", len(plan.defects)) as advance:
        defects = score_batches(scorer, head, reader.batches(plan.defects, Judgement.DEFECT), advance=advance)
    return Trained(fitted.head, calibration, fitted.closing_loss, _check_defects(defects, calibration))


def _check_defects(scores: Sequence[float], calibration: Calibration) -> DefectCheck | None:
    if not scores:
        return None
    return DefectCheck(
        n=len(scores),
        reject_rate=sum(score > calibration.threshold for score in scores) / len(scores),
        image_auroc=auroc(calibration.scores, scores),
    )
