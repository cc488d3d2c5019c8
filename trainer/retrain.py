"""`qc-trainer retrain`, stage by stage; `Retrainer.run` runs them in this order.

    stage        what it does                                             file
    collect      turn operators' feedback into samples                    samples/feedback/collecting.py
    plan         group the good samples, choose folds and rate            samples/groups.py, fitting/split.py
    scorer       choose input size and bit depth, load the backbone       commands/retrain.py, features/input_size.py
    compare      find good samples that are copies of each other          samples/look_alike.py
    features     pass frames through the backbone, or read the cache      features/extract.py
    synthetic    the same for frames with a defect drawn on them          features/defective.py
    fit          whiten, then train the discriminators: THE LOOP          fitting/head_fit.py (`_Learning`)
                 a head for each fold side by side, and a mask head       fitting/train.py, fitting/mask_head_fit.py
    calibrate    score held-out good frames, set the threshold            judging/calibrate.py
    defects      judge the stored defects, for the report alone           fitting/train.py
    release      store head and card, announce the version                qc_worker/registry/releasing.py

`qc_worker/simplenet/fit_settings.py` holds every number of the fit, `fitting/defaults.py` each backbone's.
"""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from qc_worker.domain.errors import TrainingError
from qc_worker.domain.feedback import Judgement
from qc_worker.domain.names import LineName
from qc_worker.domain.release import Release
from qc_worker.imaging.defects import encode_mask
from qc_worker.imaging.opening import ImageLimits
from qc_worker.ports.clock import Clock
from qc_worker.ports.models import ModelStore, ReleaseLog
from qc_worker.registry.releasing import go_live
from qc_worker.simplenet.checkpoint import (
    ModelCard,
    SampleManifest,
    file_sha256,
    head_sha256,
    new_version,
    save_model,
)
from qc_worker.simplenet.fit_settings import FitSettings
from qc_worker.simplenet.inference.scorer import Scorer
from qc_worker.simplenet.spec import EmbeddingSpec
from qc_worker.thresholds.promise import FalseRejectPromise
from trainer.disk import disk_errors
from trainer.features.cache import FeatureCache
from trainer.fitting.split import MIN_GOOD_SAMPLES, CalibrateBy, choose_alpha, choose_folds
from trainer.fitting.train import Plan, Trained, Trainer
from trainer.interrupts import interrupts_held
from trainer.judging.calibrate import promise_with_groups
from trainer.judging.speed import measure_frames_per_s
from trainer.locks import line_lock
from trainer.progress import Stages
from trainer.samples.feedback.collecting import CollectReport
from trainer.samples.groups import GroupBy, Grouping, group_samples
from trainer.samples.line_regions import ignored_by
from trainer.samples.look_alike import MAX_COMPARED, LookAlike, look_alike
from trainer.samples.reading import SampleReader
from trainer.samples.store import SampleStore

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class RetrainRequest:
    """One retrain of a line, as the flags ask for it."""

    line: LineName
    fit: FitSettings
    max_false_reject: float | None
    """None: 0.01, or the smallest rate that the samples support."""
    review_rate: float | None
    seed: int
    dry_run: bool
    calibrate_by: CalibrateBy
    group_by: GroupBy


@dataclass(frozen=True, slots=True)
class SizedScorer:
    """A scorer for a new model, with the reasons for its input size and bit depth."""

    scorer: Scorer
    reason: str
    bit_depth_reason: str = ""


ScorerFor = Callable[[LineName], SizedScorer]
"""Makes the scorer for a line's next model; called once all of its samples are stored."""


@dataclass(frozen=True, slots=True)
class Retrained:
    """The new model, and the facts that the command reports."""

    card: ModelCard
    promise: FalseRejectPromise
    trained: Trained
    collected: CollectReport | None
    announced: bool
    dry_run: bool
    max_false_reject: float
    """Rate that was asked for or chosen; the promise for frames of known groups may be lower."""
    grouping: Grouping
    look_alike: LookAlike
    frames_per_s: float
    """Frames that the model judges in a second on this machine; backbone not compiled, decoding not counted."""


@dataclass(frozen=True, slots=True)
class Retrainer:
    """Makes a line's next model from its samples and lets it go live.

    Without `collect` and `releases` it works offline: no feedback is collected, and the version is stored without
    going live.
    """

    scorer: ScorerFor
    samples: SampleStore
    models: ModelStore
    collect: Callable[[], CollectReport] | None
    releases: ReleaseLog | None
    features: FeatureCache
    clock: Clock
    limits: ImageLimits
    decode_threads: int

    def run(self, request: RetrainRequest, stages: Stages) -> Retrained:
        """Collect, train, store, announce. Raises QcError; then no new version is live."""
        with disk_errors(), line_lock(self.samples.folder, request.line):
            collected = self.collect() if self.collect and not request.dry_run else None
            started_s = self.clock.monotonic()
            plan = self._plan(request)
            sized = self.scorer(request.line)
            scorer = sized.scorer
            plan = replace(plan, ignored=ignored_by(self.samples, request.line, scorer.spec, self.limits))
            reader = self._reader(request.line, scorer.spec)
            compared = self._compare(reader, stages)
            trained = Trainer(scorer, reader, self.features).run(plan, stages)
            card = self._card(request.line, plan, trained, sized=sized, duration_s=self.clock.monotonic() - started_s)
            frames_per_s = self._frames_per_s(scorer, reader, plan, trained)
            announced = False if request.dry_run else self._release(trained, card)
        return Retrained(
            card=card,
            promise=promise_with_groups(trained.calibration, trained.by_groups),
            trained=trained,
            collected=collected,
            announced=announced,
            dry_run=request.dry_run,
            max_false_reject=plan.max_false_reject,
            grouping=plan.grouping,
            look_alike=compared,
            frames_per_s=frames_per_s,
        )

    def _plan(self, request: RetrainRequest) -> Plan:
        good = self.samples.ids(request.line, Judgement.GOOD)
        alpha = choose_alpha(len(good), request.max_false_reject, request.calibrate_by)
        _check_review_rate(request, alpha, len(good))
        grouping = group_samples(self.samples, request.line, good, request.group_by)
        _warn_of_one_group(request, grouping, len(good))
        return Plan(
            folds=choose_folds(
                good, by=request.calibrate_by, alpha=alpha, seed=request.seed, groups=grouping.labels or None
            ),
            defects=tuple(self.samples.ids(request.line, Judgement.DEFECT)),
            fit=request.fit,
            max_false_reject=alpha,
            review_rate=request.review_rate,
            seed=request.seed,
            grouping=grouping,
        )

    def _compare(self, reader: SampleReader, stages: Stages) -> LookAlike:
        good = self.samples.ids(reader.line, Judgement.GOOD)[:MAX_COMPARED]
        with stages.stage("compare", len(good)) as advance:
            return look_alike(reader, good, min_different=MIN_GOOD_SAMPLES, advance=advance)

    def _reader(self, line: LineName, spec: EmbeddingSpec) -> SampleReader:
        return SampleReader(self.samples, line, spec, self.limits, self.decode_threads)

    def _frames_per_s(self, scorer: Scorer, reader: SampleReader, plan: Plan, trained: Trained) -> float:
        head = scorer.take_in(trained.fitted.head, plan.ignored)
        return measure_frames_per_s(scorer, head, reader, plan.calibration, clock=self.clock)

    def _card(
        self, line: LineName, plan: Plan, trained: Trained, *, sized: SizedScorer, duration_s: float
    ) -> ModelCard:
        scorer = sized.scorer
        created_at = self.clock.now()
        digest = head_sha256(trained.fitted.head)
        return ModelCard(
            line=line,
            version=new_version(created_at, digest),
            embedding=scorer.spec,
            head=trained.fitted.head.shape,
            cost=scorer.spec.cost,
            input_size_reason=sized.reason,
            bit_depth_reason=sized.bit_depth_reason,
            ignored=None if plan.ignored is None else encode_mask(plan.ignored),
            head_sha256=digest,
            calibration=trained.calibration,
            samples=SampleManifest(
                training=plan.training,
                calibration=plan.calibration,
                calibrate_by="cross" if len(plan.folds) > 1 else "split",
                group_by=plan.grouping.by.value,
                groups=plan.grouping.sizes,
            ),
            training=plan.fit,
            seed=plan.seed,
            duration_s=duration_s,
            created_at=created_at,
        )

    def _release(self, trained: Trained, card: ModelCard) -> bool:
        """Store the version, then let it go live. Returns True if it was announced."""
        with tempfile.TemporaryDirectory(prefix="qc-trainer-") as temporary:
            folder = Path(temporary)
            save_model(folder, trained.fitted.head, card)
            with interrupts_held():
                self.models.add(folder, line=card.line, version=card.version)
                if self.releases is None:
                    return False
                self._announce(self.releases, card, trained, file_sha256(folder / "card.json"))
        return True

    def _announce(self, releases: ReleaseLog, card: ModelCard, trained: Trained, card_sha256: str) -> None:
        release = Release(
            line=card.line,
            version=card.version,
            card_sha256=card_sha256,
            threshold=card.calibration.threshold,
            released_at=self.clock.now(),
            metrics={
                "training_samples": len(card.samples.training),
                "calibration_samples": len(card.samples.calibration),
                "max_false_reject": card.calibration.max_false_reject,
                "closing_loss": trained.fitted.closing_loss,
                "duration_s": card.duration_s,
            },
        )
        go_live(self.models, releases, release)


def _check_review_rate(request: RetrainRequest, alpha: float, good_samples: int) -> None:
    """Refuse before the training a review rate that the calibration would refuse after it. Raises TrainingError."""
    if request.review_rate is not None and request.review_rate <= alpha:
        why = "" if request.max_false_reject else f", which is the default for {good_samples} good samples"
        raise TrainingError(
            f"--review-rate {request.review_rate:g} is not above the false-reject rate {alpha:.4g}{why}: "
            "give a higher --review-rate"
        )


def _warn_of_one_group(request: RetrainRequest, grouping: Grouping, good_samples: int) -> None:
    if request.group_by is not GroupBy.NONE and len(grouping.sizes) < 2:
        log.warning(
            "good samples are of one group: the false-reject rate of another session is not known",
            line=request.line,
            good_samples=good_samples,
            group_by=request.group_by.value,
        )
