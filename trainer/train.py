"""From stored samples to a calibrated model."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from qc_worker.domain.calibration import Calibration
from qc_worker.domain.names import LineName
from qc_worker.domain.release import Judgement
from qc_worker.simplenet.checkpoint import TrainingSettings
from qc_worker.simplenet.metrics import auroc
from qc_worker.simplenet.regions import Ignored, judged_cells
from qc_worker.simplenet.scorer import Scorer
from trainer.calibrate import CONFIDENCE, calibrate, raised_for_groups, score_batches
from trainer.feature_cache import FeatureCache
from trainer.feature_spec import feature_spec
from trainer.defective_features import Twin, defective_features, twins
from trainer.features import FeatureCounts, FrameFeatures, drawn_cells, feature_bytes
from trainer.fit import FitTask, Fitted, fit_head
from trainer.group_calibration import GroupCalibration, calibrate_by_groups
from trainer.groups import UNGROUPED, Grouping
from trainer.part_scores import CellRows
from trainer.patch_bank import standardise
from trainer.pictures import SampleReader
from trainer.progress import Stages
from trainer.samples import SampleStore
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
    grouping: Grouping = UNGROUPED
    """Which good samples belong together."""
    ignored: Ignored | None = None
    """What of the line's pictures is not judged."""


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

    fitted: Fitted
    calibration: Calibration
    features: FeatureCounts
    """Good samples, by where their features came from."""
    defects: DefectCheck | None
    by_groups: GroupCalibration | None = None
    """The calibration by groups, if good samples have groups."""


@dataclass(frozen=True, slots=True)
class Trainer:
    """Trains heads for one line on one backbone."""

    scorer: Scorer
    reader: SampleReader
    cache: FeatureCache

    def run(self, plan: Plan, stages: Stages) -> Trained:
        """Compute what features are new, fit the head on all, calibrate it on the held-out samples.

        Raises TrainingError, OSError.
        """
        counts = FeatureCounts()
        rows, defective = self._features(plan, counts, stages)
        n_discriminators = len(plan.training.discriminators) if plan.training.learned_weight else 0
        with stages.stage("fit", plan.training.steps * n_discriminators) as advance:
            task = FitTask(
                rows=rows,
                defective=defective,
                level_channels=self.scorer.level_channels,
                settings=plan.training,
                hidden=plan.hidden,
                seed=plan.seed,
                device=self.scorer.device,
                dtype=self.scorer.dtype,
            )
            fitted = fit_head(task, advance=advance)
        del rows, defective, task  # the largest things in memory, and done with
        calibration, by_groups, defects = self._judge(fitted, plan, stages)
        return Trained(fitted, calibration, counts, defects, by_groups)

    def _features(self, plan: Plan, counts: FeatureCounts, stages: Stages) -> tuple[CellRows, Tensor]:
        """Held-out frames are not among them: they are judged from their pictures, the way the worker does."""
        samples = plan.split.training
        chosen = twins(samples, plan.training.synthetic_frames if plan.training.learned_weight else 0)
        frames = self._frame_features(plan, chosen)
        with stages.stage("features", len(samples)) as advance:
            rows = frames.of_samples(samples, counts, advance=advance)
        with stages.stage("synthetic", len(chosen)) as advance:
            defective = defective_features(frames, chosen, advance=advance)
        features = standardise(rows, max_bytes=plan.training.max_feature_bytes)
        return CellRows(features, self._cells(plan), self.scorer.spec.grid), defective

    def _cells(self, plan: Plan) -> Tensor:
        """Cell of each row of the training frames."""
        grid, per_frame = self.scorer.spec.grid, plan.training.patches_per_frame
        judged = None if plan.ignored is None else judged_cells(plan.ignored, grid)
        drawn = [drawn_cells(sample, math.prod(grid), per_frame, judged=judged) for sample in plan.split.training]
        return torch.cat(drawn)

    def _frame_features(self, plan: Plan, chosen: Sequence[Twin]) -> FrameFeatures:
        per_frame = plan.training.patches_per_frame
        spec = feature_spec(self.scorer, patches_per_frame=per_frame, ignored=plan.ignored)
        shelf = self.cache.shelf(spec)
        needed = [*plan.split.training, *(twin.name for twin in chosen)]
        self.cache.make_room(
            shelf,
            # A synthetic defect seldom covers more than a quarter of a frame's cells.
            n_bytes=(len(plan.split.training) + len(chosen) // 4) * feature_bytes(spec, self.scorer.channels),
            samples=all_good_samples(self.reader.store),
            needed=needed,
        )
        return FrameFeatures(self.scorer, self.reader, shelf, per_frame, plan.ignored)

    def _judge(
        self, fitted: Fitted, plan: Plan, stages: Stages
    ) -> tuple[Calibration, GroupCalibration | None, DefectCheck | None]:
        head = self.scorer.take_in(fitted.head, plan.ignored)
        with stages.stage("calibrate", len(plan.split.calibration)) as advance:
            pictures = self.reader.batches(plan.split.calibration)
            held_out = score_batches(self.scorer, head, pictures, advance=advance)
        calibration = calibrate(held_out, alpha=plan.max_false_reject, review_rate=plan.review_rate)
        by_groups = _by_groups(held_out, plan)
        calibration = raised_for_groups(calibration, by_groups) if by_groups else calibration
        with stages.stage("defects", len(plan.defects)) as advance:
            pictures = self.reader.batches(plan.defects, Judgement.DEFECT)
            defects = score_batches(self.scorer, head, pictures, advance=advance)
        return calibration, by_groups, _check_defects(defects, calibration)


def all_good_samples(store: SampleStore) -> set[str]:
    """Good samples of all lines: features of any others are not worth keeping."""
    return {sample for line in store.lines() for sample in store.ids(LineName(line), Judgement.GOOD)}


def _by_groups(held_out: Sequence[float], plan: Plan) -> GroupCalibration | None:
    if not plan.grouping.labels:
        return None
    labels = [plan.grouping.labels[sample] for sample in plan.split.calibration]
    return calibrate_by_groups(held_out, labels, plan.max_false_reject, confidence=CONFIDENCE)


def _check_defects(scores: Sequence[float], calibration: Calibration) -> DefectCheck | None:
    if not scores:
        return None
    return DefectCheck(
        n=len(scores),
        reject_rate=sum(score > calibration.threshold for score in scores) / len(scores),
        image_auroc=auroc(calibration.scores, scores),
    )
