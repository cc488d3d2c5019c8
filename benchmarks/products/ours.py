"""Run our side of `accuracy.py` with the product's own code: `import`, `retrain --offline` and `evaluate`."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from time import monotonic

from benchmarks.products.one_run import ASPECT, Figures, OwnThreshold, Product, Run
from qc_worker.domain.calibration import Calibration, smallest_alpha
from qc_worker.domain.feedback import Judgement
from qc_worker.domain.names import line_name
from qc_worker.runtime.clock import SystemClock
from qc_worker.settings import Settings
from qc_worker.simplenet.checkpoint import Model
from qc_worker.simplenet.fit_settings import FitSettings
from qc_worker.wiring.capacity import decode_threads
from qc_worker.wiring.shared import image_limits
from trainer.commands.retrain import requested, run_retrain
from trainer.commands.retrain_flags import RetrainFlags
from trainer.datasets.labelled import LabelledImage
from trainer.judging.evaluate import Evaluator, JudgedImage
from trainer.judging.figures import DefectReport, Evaluation
from trainer.judging.mask_overlap import MaskOverlap
from trainer.options import AspectFlag
from trainer.progress import stages
from trainer.releasing.versions import open_model
from trainer.samples.folders.import_folders import ImportFolder
from trainer.samples.folders.importing import Importer
from trainer.wiring import model_store, sample_store, scorer_for

LINE = line_name("bench")
OURS = "ours"
NO_DISCRIMINATOR = "ours, no discriminator"
MASK_RATE = 0.05
"""Masks are also compared at the threshold for this false-reject rate, beside the model's own."""

Adjust = Callable[[FitSettings], FitSettings]


def unchanged(settings: FitSettings) -> FitSettings:
    return settings


def without_discriminator(settings: FitSettings) -> FitSettings:
    """The row without it: the head judges by distance alone."""
    return settings.model_copy(update={"learned_weight": 0.0})


def can_leave_discriminator_out() -> bool:
    """Return True if the settings have a weight for what the discriminator learned."""
    return "learned_weight" in FitSettings.model_fields


def our_sides() -> dict[str, Adjust]:
    """Return our rows, each with its change to the training settings."""
    rows: dict[str, Adjust] = {OURS: unchanged}
    return rows | ({NO_DISCRIMINATOR: without_discriminator} if can_leave_discriminator_out() else {})


@dataclass(slots=True)
class Ours:
    """One product as a line, in its own folders."""

    product: Product
    settings: Settings
    """Settings with a state folder that is empty at first and used for this product only."""
    backbone: str
    input_size: str
    """Value of `--input-size`."""
    _imported: bool = field(default=False, init=False)

    def run(self, side: str, adjust: Adjust, seed: int) -> Run:
        """Retrain, then evaluate the new version. Raises QcError."""
        self._import()
        flags = self._flags(seed)
        request = requested(flags)
        request = replace(request, fit=adjust(request.fit))
        with stages() as shown:
            retrained = run_retrain(self.settings, flags, request, shown)
        card = retrained.card
        model = open_model(model_store(self.settings), LINE, card.version)
        started_s = monotonic()
        evaluation, scores = self._evaluate(model)
        return Run(
            product=self.product.name,
            side=side,
            seed=seed,
            input_size=card.embedding.input_size,
            levels=card.embedding.levels,
            frames=len(card.samples.training),
            train_s=card.duration_s,
            judge_s=monotonic() - started_s,
            overall=_figures(evaluation),
            by_defect={kind: _figures(report) for kind, report in evaluation.by_defect.items()},
            scores=scores,
            own=self._own_threshold(model, evaluation),
            features_cached=retrained.trained.features.cached,
        )

    def _import(self) -> None:
        if self._imported:
            return
        threads = decode_threads(self.settings)
        importer = Importer(sample_store(self.settings), image_limits(self.settings), SystemClock().now, threads)
        task = ImportFolder(LINE, Judgement.GOOD, self.product.good).task(importer.limits)
        importer.run(task, advance=lambda *_: None)
        self._imported = True

    def _flags(self, seed: int) -> RetrainFlags:
        """Build the flags of `qc-trainer retrain --line bench --offline --seed N`."""
        return RetrainFlags(
            line=LINE,
            seed=seed,
            offline=True,
            backbone=self.backbone,
            aspect=AspectFlag(ASPECT),
            input_size=self.input_size,
        )

    def _evaluate(self, model: Model) -> tuple[Evaluation, dict[str, list[float]]]:
        scores: dict[str, list[float]] = {kind: [] for kind in self.product.counts}

        def watch(judged: JudgedImage) -> None:
            scores[judged.image.kind].append(judged.score)

        images = self.product.images
        return self._evaluator(model).run(images, advance=lambda *_: None, watch=watch), scores

    def _evaluator(self, model: Model) -> Evaluator:
        scorer = scorer_for(self.settings, model.card.embedding)
        threads = decode_threads(self.settings)
        return Evaluator(model, scorer, limits=image_limits(self.settings), decode_threads=threads)

    def _own_threshold(self, model: Model, evaluation: Evaluation) -> OwnThreshold:
        return OwnThreshold(
            max_false_reject=evaluation.max_false_reject,
            calibration_scores=model.card.calibration.scores,
            reject_rate=evaluation.reject_rate,
            false_reject_rate=evaluation.false_reject_rate,
            mask_overlap=evaluation.mask_overlap,
            mask_overlap_at_5=self._mask_overlap(model) if evaluation.masks.found else None,
        )

    def _mask_overlap(self, model: Model) -> MaskOverlap | None:
        """Judge images with a mask again, at the threshold that `qc-trainer threshold --max-false-reject` would set."""
        card = model.card.model_copy(update={"calibration": moved(model.card.calibration, MASK_RATE)})
        return self._evaluator(replace(model, card=card)).run(self._masked(), advance=lambda *_: None).mask_overlap

    def _masked(self) -> list[LabelledImage]:
        """List the defects with a mask, and one good image, since an evaluation needs one."""
        return [self.product.images[0], *(image for image in self.product.images if image.masks)]


def moved(calibration: Calibration, rate: float) -> Calibration:
    """Move a calibration to this false-reject rate, or to the smallest rate above it that the scores support."""
    smallest = smallest_alpha(len(calibration.scores))
    return calibration.moved_to_rate(max(rate, smallest), review_rate=None)


def _figures(report: Evaluation | DefectReport) -> Figures:
    return Figures(report.image_auroc, report.recall_at, report.pixel_auroc, report.aupro)
