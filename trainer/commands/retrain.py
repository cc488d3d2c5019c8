"""`retrain`: build the use case from the flags, run it, print its report."""

from contextlib import ExitStack
from dataclasses import asdict
from functools import partial

from qc_worker.domain.errors import SettingsError, TransportError
from qc_worker.domain.names import LineName
from qc_worker.imaging.aspect import FULL_DEPTH
from qc_worker.observability.printing import print_json
from qc_worker.runtime.clock import SystemClock
from qc_worker.settings import Settings
from qc_worker.simplenet.card import ModelCard
from qc_worker.thresholds.promise import CONFIDENCE
from qc_worker.wiring.capacity import decode_threads
from qc_worker.wiring.shared import compute_device, image_limits
from trainer.commands.documents import print_facts
from trainer.commands.retrain_flags import RetrainFlags
from trainer.commands.samples import collected
from trainer.features.cache import FeatureCache
from trainer.features.input_size import as_asked, auto_input_size, parse_input_size
from trainer.fitting.defaults import defaults_for
from trainer.fitting.split import CalibrateBy
from trainer.progress import Stages, stages
from trainer.retrain import Retrained, Retrainer, RetrainRequest, ScorerFor, SizedScorer
from trainer.samples.feedback.collecting import CollectReport
from trainer.samples.frame_sizes import read_frame_sizes
from trainer.samples.groups import GroupBy
from trainer.samples.line_bit_depth import choose_bit_depth, parse_bit_depth
from trainer.wiring import checked_line, collector, model_store, new_scorers, release_log, sample_store

MEBIBYTE = 1 << 20
BEARABLE = 3
"""Advice is given if a new group's rate is more than this many times the rate that was asked for."""


def retrain_line(settings: Settings, flags: RetrainFlags, *, as_json: bool) -> None:
    """Retrain a line and print the report. Raises QcError."""
    request = requested(flags)
    with stages() as shown:
        retrained = run_retrain(settings, flags, request, shown)
    document = retrained_document(retrained)
    document["stages_s"] = {name: round(duration_s, 3) for name, duration_s in shown.durations_s.items()}
    if as_json:
        print_json(document)
    else:
        print_facts(f"line {request.line}", document)


def run_retrain(settings: Settings, flags: RetrainFlags, request: RetrainRequest, shown: Stages) -> Retrained:
    """Retrain a line with the adapters that settings and flags name. Raises QcError."""
    online = not (flags.offline or flags.dry_run)
    with ExitStack() as stack:
        retrainer = Retrainer(
            scorer=_scorer(settings, flags),
            samples=sample_store(settings),
            models=model_store(settings),
            collect=partial(_collect, settings) if online else None,
            releases=stack.enter_context(release_log(settings)) if online else None,
            features=FeatureCache(settings.state_path / "features", max_bytes=flags.max_feature_mib * MEBIBYTE),
            clock=SystemClock(),
            limits=image_limits(settings),
            decode_threads=decode_threads(settings, compute_device(settings).type),
        )
        return retrainer.run(request, shown)


def retrained_document(retrained: Retrained) -> dict[str, object]:
    """Build the document that `retrain --json` prints."""
    card, promise, trained = retrained.card, retrained.promise, retrained.trained
    return {
        "line": card.line,
        "version": card.version,
        "dry_run": retrained.dry_run,
        "announced": retrained.announced,
        "backbone": card.embedding.backbone,
        "input_size": card.embedding.input_size,
        "input_size_reason": card.input_size_reason,
        "bit_depth": card.embedding.bit_depth,
        "bit_depth_reason": card.bit_depth_reason,
        "tiles": card.embedding.tiles,
        "cost": round(card.cost, 3),
        "frames_per_s": round(retrained.frames_per_s, 1),
        "ignored_share": _ignored_share(card),
        "seed": card.seed,
        "training_samples": len(card.samples.training),
        "calibrate_by": card.samples.calibrate_by,
        "calibration_samples": promise.n,
        "max_false_reject": promise.alpha,
        "smallest_max_false_reject": promise.smallest_alpha,
        "false_reject_interval": promise.interval,
        "false_reject_confidence": CONFIDENCE,
        "group_by": retrained.grouping.by.value,
        "groups": len(retrained.grouping.sizes),
        "calibration_groups": promise.groups,
        "new_group_false_reject": promise.group_rate,
        "new_group_interval": promise.group_interval,
        "look_alike": asdict(retrained.look_alike),
        "advice": advice(retrained),
        "review_rate": card.calibration.review_rate,
        "threshold": card.calibration.threshold,
        "features_computed": trained.features.computed,
        "features_cached": trained.features.cached,
        "closing_loss": trained.fitted.closing_loss,
        "defects": asdict(trained.defects) if trained.defects else None,
        "collected": collected(retrained.collected) if retrained.collected else None,
        "head_sha256": card.head_sha256,
        "duration_s": round(card.duration_s, 3),
    }


def advice(retrained: Retrained) -> str | None:
    """Advise in one line how to make the promise hold for new sessions; None if it does."""
    asked, rate, groups = retrained.max_false_reject, retrained.promise.group_rate, retrained.promise.groups
    if rate is None or rate <= BEARABLE * asked:
        return None
    return (
        f"of a group that the threshold has not seen, {rate:.1%} of good frames would be rejected, more than "
        f"{BEARABLE:g} times the {asked:.1%} asked for: import good frames of more sessions ({groups} were held out)"
    )


def _ignored_share(card: ModelCard) -> float:
    """Compute the share of the model's input that is not judged."""
    return 0.0 if card.ignored_pixels is None else float(card.ignored_pixels.mean())


def requested(flags: RetrainFlags) -> RetrainRequest:
    """Turn flags into a request. Raises SettingsError."""
    _check_rates(flags.max_false_reject, flags.review_rate)
    fit = defaults_for(flags.backbone).fit
    return RetrainRequest(
        line=checked_line(flags.line),
        fit=fit.model_copy(update={"steps": flags.steps}) if flags.steps else fit,
        max_false_reject=flags.max_false_reject,
        review_rate=flags.review_rate,
        seed=flags.seed,
        dry_run=flags.dry_run,
        group_by=GroupBy(flags.group_by),
        calibrate_by=CalibrateBy(flags.calibrate_by),
    )


def _check_rates(max_false_reject: float | None, review_rate: float | None) -> None:
    for flag, rate in (("--max-false-reject", max_false_reject), ("--review-rate", review_rate)):
        if rate is not None and not 0 < rate < 1:
            raise SettingsError(f"{flag} must lie between 0 and 1, not {rate:g}")
    if review_rate is not None and max_false_reject is not None and review_rate <= max_false_reject:
        raise SettingsError("--review-rate must be above --max-false-reject")


def _scorer(settings: Settings, flags: RetrainFlags) -> ScorerFor:
    """Load the backbone now; choose the input size and bit depth from the line's frames, unless they were given."""
    asked, asked_depth = parse_input_size(flags.input_size, flags.max_cost), parse_bit_depth(flags.bit_depth)
    scorers = new_scorers(settings, flags.backbone, aspect=flags.aspect.value, tiles=flags.tiles)
    if asked.size is not None:
        scorers.at(asked.size, FULL_DEPTH)  # refuses an impossible size before any sample is read

    def for_frames(line: LineName) -> SizedScorer:
        store, limits = sample_store(settings), image_limits(settings)
        threads = decode_threads(settings, compute_device(settings).type)
        frames = read_frame_sizes(store, line, limits=limits, decode_threads=threads)
        depth = choose_bit_depth(asked_depth, frames)
        if asked.size is not None:
            scorer = scorers.at(asked.size, depth.bits)
            return SizedScorer(scorer, as_asked(asked, scorer.spec.cost), depth.reason)
        chosen = auto_input_size(frames, scorers.spec, max_cost=asked.max_cost)
        return SizedScorer(scorers.at(chosen.size, depth.bits), chosen.reason, depth.reason)

    return for_frames


def _collect(settings: Settings) -> CollectReport:
    try:
        # Closed before the training: a member of the group that does not poll would block other collectors.
        with collector(settings) as gatherer:
            return gatherer.run()
    except TransportError as error:
        raise TransportError(f"{error} (--offline retrains without a broker)") from error
