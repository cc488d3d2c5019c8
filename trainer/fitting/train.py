"""Train a line's model: compute features, fit the heads, calibrate the threshold, judge the stored defects.

The training loop, step by step, is `_Learning` in trainer/fitting/head_fit.py.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import structlog
import torch
from torch import Tensor

from qc_worker.domain.calibration import Calibration
from qc_worker.domain.errors import TrainingError
from qc_worker.domain.feedback import Judgement
from qc_worker.domain.names import LineName
from qc_worker.simplenet.fit_settings import FitSettings
from qc_worker.simplenet.head import Head
from qc_worker.simplenet.inference.folded import FoldedHead
from qc_worker.simplenet.inference.scorer import Scorer
from qc_worker.simplenet.regions import Ignored, judged_cells
from qc_worker.simplenet.roc import auroc
from qc_worker.thresholds.promise import CONFIDENCE
from trainer.features.cache import FeatureCache
from trainer.features.defective import Twin, defective_features, twins
from trainer.features.extract import FeatureCounts, FrameFeatures, drawn_cells, feature_bytes
from trainer.features.mask_rows import mask_rows_bytes
from trainer.features.patch_bank import PatchBank, standardise
from trainer.features.spec import feature_spec
from trainer.fitting.folds import Fold
from trainer.fitting.head_fit import FitTask, Fitted, fit_head, part_weights
from trainer.fitting.mask_head_fit import MaskTask, discriminator_count, fit_mask_head
from trainer.fitting.part_scores import CellRows, normalise_parts
from trainer.fitting.seeds import torch_seed
from trainer.fitting.side_by_side import Job, side_by_side
from trainer.judging.calibrate import (
    MASK_FRAMES,
    calibrate,
    measure_masks,
    raised_for_groups,
    score_batches,
    score_embeddings,
)
from trainer.judging.group_calibration import GroupCalibration, calibrate_by_groups
from trainer.progress import Advance, Stages
from trainer.samples.groups import UNGROUPED, Grouping
from trainer.samples.reading import SampleReader
from trainer.samples.store import SampleStore

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that decides the bits of a training; equal plans on one machine give equal bits."""

    folds: tuple[Fold, ...]
    """Samples that heads are fitted to and samples that they judge: one fold, or several that hold out each once."""
    defects: tuple[str, ...]
    """Stored defect samples: never trained on, only judged in the end."""
    fit: FitSettings
    max_false_reject: float
    """Rate that the threshold is calibrated for."""
    review_rate: float | None
    seed: int
    grouping: Grouping = UNGROUPED
    """Groups of good samples, such as the sessions of a camera."""
    ignored: Ignored | None = None
    """Parts of the line's pictures that are not judged; None: all is judged."""

    @property
    def training(self) -> tuple[str, ...]:
        """List the samples that the live head is fitted to: with several folds all of them."""
        first, *others = self.folds
        return tuple(sorted((*first.training, *first.held_out))) if others else first.training

    @property
    def calibration(self) -> tuple[str, ...]:
        """List the samples that the threshold comes from."""
        return tuple(sample for fold in self.folds for sample in fold.held_out)


@dataclass(frozen=True, slots=True)
class _Features:
    """Features of the training samples, by sample."""

    good: Mapping[str, Tensor]
    """Rows of each sample's kept cells, (P, C)."""
    defective: Mapping[str, Tensor]
    """Rows of the cells under each sample's synthetic defects, (M, C)."""
    mask_rows: Sequence[Tensor]
    """Rows of fine cells in and around synthetic defects, as `drawn_rows` gives them."""
    counts: FeatureCounts
    """Good samples whose features were computed, and those whose features were cached."""


@dataclass(frozen=True, slots=True)
class DefectCheck:
    """Verdicts of the fitted model on the line's own stored defects."""

    n: int
    reject_rate: float
    image_auroc: float
    """AUROC of their scores against those of the held-out good samples."""


@dataclass(frozen=True, slots=True)
class Trained:
    """A fitted and calibrated head."""

    fitted: Fitted
    calibration: Calibration
    features: FeatureCounts
    """Good samples whose features were computed, and those whose features were cached."""
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
        """Compute missing features, fit a head for each fold and one on all, calibrate, judge stored defects.

        Raises TrainingError, OSError.
        """
        features = self._features(plan, stages)
        n_discriminators = len(plan.fit.discriminators) if plan.fit.learned_weight else 0
        fits = [fold.training for fold in plan.folds] + ([plan.training] if len(plan.folds) > 1 else [])
        of_masks = discriminator_count(len(self.scorer.mask_channels)) if features.mask_rows else 0
        with stages.stage("fit", plan.fit.steps * (n_discriminators * len(fits) + of_masks)) as advance:
            fitted, mask_head = self._fit_all(plan, features, fits, advance)
        self._normalise(plan, features, [one.head for one in fitted])
        if mask_head is not None:
            fitted[-1].head.adopt(mask_head)
        calibration, by_groups, defects = self._judge(fitted, plan, features, stages)
        return Trained(fitted[-1], calibration, features.counts, defects, by_groups)

    def _features(self, plan: Plan, stages: Stages) -> _Features:
        samples = plan.training
        chosen = twins(samples, plan.fit.synthetic_frames if plan.fit.learned_weight else 0)
        frames = self._frame_features(plan, chosen)
        with stages.stage("features", len(samples)) as advance:
            rows, counts = frames.of_samples(samples, advance=advance)
        with stages.stage("synthetic", len(chosen)) as advance:
            defective = defective_features(frames, chosen, advance=advance)
        good = dict(zip(samples, rows, strict=True))
        return _Features(good, defective.covered, defective.mask_rows, counts)

    def _fit_all(
        self, plan: Plan, features: _Features, fits: Sequence[Sequence[str]], advance: Advance
    ) -> tuple[list[Fitted], Head | None]:
        """Fit a head to each choice of samples, and the mask head beside them."""
        heads: list[Job[Fitted | Head | None]] = [partial(self._fit, plan, features, samples) for samples in fits]
        of_masks: list[Job[Fitted | Head | None]] = [partial(self._fit_mask_head, plan, features)]
        found = side_by_side(heads + of_masks, advance=advance, device=self.scorer.device)
        mask_head = found.pop()
        return [one for one in found if isinstance(one, Fitted)], mask_head if isinstance(mask_head, Head) else None

    def _fit(
        self, plan: Plan, features: _Features, samples: Sequence[str], advance: Advance, memory_share: float
    ) -> Fitted:
        """Fit a head to some of the samples; features of the others have no influence on it."""
        max_bytes = int(memory_share * plan.fit.max_feature_bytes)
        good = standardise([features.good[sample] for sample in samples], max_bytes=max_bytes)
        defective = [features.defective[sample] for sample in samples if sample in features.defective]
        task = FitTask(
            features=good,
            cells=self.scorer.spec.grid,
            defective=torch.cat(defective) if defective else torch.empty(0, self.scorer.channels),
            level_channels=self.scorer.level_channels,
            settings=plan.fit,
            seed=torch_seed(plan.seed),
            device=self.scorer.device,
            dtype=self.scorer.dtype,
        )
        return fit_head(task, advance=advance)

    def _fit_mask_head(self, plan: Plan, features: _Features, advance: Advance, _: float) -> Head | None:
        """Fit the mask head; None if it does not learn: then masks come from the coarser cells of the line's head."""
        if not features.mask_rows:
            return None
        task = MaskTask(
            rows=features.mask_rows,
            grid=self.scorer.spec.mask_grid,
            level_channels=self.scorer.mask_channels,
            settings=plan.fit,
            seed=torch_seed(plan.seed),
            device=self.scorer.device,
            dtype=self.scorer.dtype,
        )
        try:
            return fit_mask_head(task, advance=advance)
        except TrainingError as error:
            log.warning("no mask head: masks will be coarse", reason=str(error))
            return None

    def _normalise(self, plan: Plan, features: _Features, heads: Sequence[Head]) -> None:
        """Make all heads' scores comparable, by frames that each was not fitted to; with one fold by its own frames."""
        judging = plan.folds if len(plan.folds) > 1 else [Fold(training=(), held_out=plan.training)]
        judged = [
            (head, self._cell_rows(plan, features, fold.held_out)) for head, fold in zip(heads, judging, strict=False)
        ]
        normalise_parts(heads, judged, part_weights(plan.fit))

    def _cell_rows(self, plan: Plan, features: _Features, samples: Sequence[str]) -> CellRows:
        bank = PatchBank(tuple(features.good[sample] for sample in samples))
        return CellRows(bank, self._cells(plan, samples), self.scorer.spec.grid)

    def _cells(self, plan: Plan, samples: Sequence[str]) -> Tensor:
        """List the cell of each row of the samples' features, int64 (N,)."""
        grid, per_frame = self.scorer.spec.grid, plan.fit.patches_per_frame
        judged = None if plan.ignored is None else judged_cells(plan.ignored, grid)
        drawn = [drawn_cells(sample, math.prod(grid), per_frame, judged=judged) for sample in samples]
        return torch.cat(drawn)

    def _frame_features(self, plan: Plan, chosen: Sequence[Twin]) -> FrameFeatures:
        per_frame = plan.fit.patches_per_frame
        spec = feature_spec(self.scorer, patches_per_frame=per_frame, ignored=plan.ignored)
        shelf = self.cache.shelf(spec)
        needed = [*plan.training, *(name for twin in chosen for name in (twin.name, twin.mask_name))]
        self.cache.make_room(
            shelf,
            # A synthetic defect seldom covers more than a quarter of a frame's cells.
            n_bytes=(len(plan.training) + len(chosen) // 4) * feature_bytes(spec, self.scorer.channels)
            + len(chosen) * mask_rows_bytes(self.scorer.mask_channels),
            samples=all_good_samples(self.reader.store),
            needed=needed,
        )
        return FrameFeatures(self.scorer, self.reader, shelf, per_frame, plan.ignored)

    def _judge(
        self, fitted: Sequence[Fitted], plan: Plan, features: _Features, stages: Stages
    ) -> tuple[Calibration, GroupCalibration | None, DefectCheck | None]:
        """Judge each fold's held-out frames by the head that was fitted without them, defects by the live head."""
        held_out: list[float] = []
        live = self.scorer.take_in(fitted[-1].head, plan.ignored)
        of_masks = plan.calibration[:MASK_FRAMES]
        with stages.stage("calibrate", len(plan.calibration) + len(of_masks)) as advance:
            for fold, of_fold in zip(plan.folds, fitted, strict=False):
                head = self.scorer.take_in(of_fold.head, plan.ignored)
                held_out += self._held_out_scores(plan, features, fold, head, advance)
            masks = measure_masks(self.scorer, live, self.reader.batches(of_masks), advance=advance)
        calibration = calibrate(held_out, alpha=plan.max_false_reject, review_rate=plan.review_rate, masks=masks)
        by_groups = _by_groups(held_out, plan)
        calibration = raised_for_groups(calibration, by_groups) if by_groups else calibration
        with stages.stage("defects", len(plan.defects)) as advance:
            pictures = self.reader.batches(plan.defects, Judgement.DEFECT)
            defects = score_batches(self.scorer, live, pictures, advance=advance)
        return calibration, by_groups, _check_defects(defects, calibration)

    def _held_out_scores(
        self, plan: Plan, features: _Features, fold: Fold, head: FoldedHead, advance: Advance
    ) -> list[float]:
        """Score held-out frames from their features if all cells were kept; else pass the frames again."""
        whole = math.prod(self.scorer.spec.grid) <= plan.fit.patches_per_frame and plan.ignored is None
        if len(plan.folds) == 1 or not whole or self.scorer.spec.aspect == "pad":
            return score_batches(self.scorer, head, self.reader.batches(fold.held_out), advance=advance)
        return score_embeddings(self.scorer, head, [features.good[each] for each in fold.held_out], advance=advance)


def all_good_samples(store: SampleStore) -> set[str]:
    """List the good samples of all lines; the features of any others may be removed."""
    return {sample for line in store.lines() for sample in store.ids(LineName(line), Judgement.GOOD)}


def _by_groups(held_out: Sequence[float], plan: Plan) -> GroupCalibration | None:
    if not plan.grouping.labels:
        return None
    labels = [plan.grouping.labels[sample] for sample in plan.calibration]
    return calibrate_by_groups(held_out, labels, plan.max_false_reject, confidence=CONFIDENCE)


def _check_defects(scores: Sequence[float], calibration: Calibration) -> DefectCheck | None:
    if not scores:
        return None
    return DefectCheck(
        n=len(scores),
        reject_rate=sum(score > calibration.threshold for score in scores) / len(scores),
        image_auroc=auroc(calibration.scores, scores),
    )
