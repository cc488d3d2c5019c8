"""`threshold`: print a table of operating points, or move to one of them."""

import math
from dataclasses import dataclass

from qc_worker.domain.calibration import Calibration, smallest_alpha
from qc_worker.domain.errors import ModelError, SettingsError, TransportError
from qc_worker.domain.feedback import Judgement
from qc_worker.domain.inspection import Verdict
from qc_worker.domain.names import LineName
from qc_worker.observability.printing import print_json
from qc_worker.ports.models import ModelStore
from qc_worker.runtime.clock import SystemClock
from qc_worker.settings import Settings
from qc_worker.simplenet.checkpoint import Model
from qc_worker.thresholds.promise import CONFIDENCE, promise
from qc_worker.thresholds.table import RecentScores, Row, operating_points, recent_scores, table
from qc_worker.wiring.capacity import decode_threads
from qc_worker.wiring.shared import image_limits
from trainer.commands.documents import print_facts, print_rows
from trainer.disk import disk_errors
from trainer.judging.calibrate import score_batches
from trainer.locks import line_lock
from trainer.progress import Stages, stages
from trainer.releasing.operating_point import Moved, OperatingPoint, ThresholdMover, moved
from trainer.releasing.versions import open_model, version_to_judge
from trainer.samples.reading import SampleReader
from trainer.wiring import (
    checked_line,
    checked_version,
    model_store,
    recent_inspections,
    release_log,
    sample_store,
    scorer_for,
)

COLUMNS = ["max false reject", "", "threshold", f"false rejects ({CONFIDENCE:.0%})", "defects rejected"]
COUNTED = [Verdict.PASS, Verdict.REVIEW, Verdict.REJECT]


@dataclass(frozen=True, slots=True)
class ThresholdFlags:
    """The command's own flags; None if a flag is not given."""

    line: str
    version: str | None
    max_false_reject: float | None
    score: float | None
    review_rate: float | None
    what_if: bool
    last: int
    offline: bool


def move_threshold(settings: Settings, flags: ThresholdFlags, *, as_json: bool) -> None:
    """Move a line's threshold if a value is given, else print a table of values. Raises QcError."""
    wanted = _operating_point(flags)
    line = checked_line(flags.line)
    version = checked_version(flags.version) if flags.version else None
    if wanted.is_asked_for and not flags.what_if:
        _print_moved(_move(settings, line, version, wanted, offline=flags.offline), as_json=as_json)
    else:
        _print_table(_what_if(settings, line, version, flags), as_json=as_json)


def _operating_point(flags: ThresholdFlags) -> OperatingPoint:
    """Read the operating point asked for from the flags. Raises SettingsError."""
    if flags.max_false_reject is not None and flags.score is not None:
        raise SettingsError("--max-false-reject and --score both set the threshold: give one of them")
    if flags.max_false_reject is not None and not 0 < flags.max_false_reject < 1:
        raise SettingsError(f"--max-false-reject must lie between 0 and 1, not {flags.max_false_reject:g}")
    if flags.score is not None and not math.isfinite(flags.score):
        raise SettingsError(f"--score must be a finite number, not {flags.score:g}")
    if flags.review_rate is not None and not 0 <= flags.review_rate < 1:
        raise SettingsError(f"--review-rate must lie between 0 (no review) and 1, not {flags.review_rate:g}")
    wanted = OperatingPoint(flags.max_false_reject, flags.score, flags.review_rate)
    if wanted.review_rate is not None and not (wanted.is_asked_for or flags.what_if):
        raise SettingsError("--review-rate needs --max-false-reject or --score, or --what-if")
    return wanted


def _move(settings: Settings, line: LineName, version: str | None, wanted: OperatingPoint, *, offline: bool) -> Moved:
    models, clock = model_store(settings), SystemClock()
    with disk_errors(), line_lock(settings.sample_dir, line):
        if offline:
            return ThresholdMover(models, None, clock).move(line, version, wanted)
        with release_log(settings) as releases:
            return ThresholdMover(models, releases, clock).move(line, version, wanted)


@dataclass(frozen=True, slots=True)
class _WhatIf:
    """The table of operating points, and the numbers that it is based on."""

    model: Model
    defects: int
    recent: RecentScores | None
    """None with --offline."""
    rows: list[Row]


def _what_if(settings: Settings, line: LineName, version: str | None, flags: ThresholdFlags) -> _WhatIf:
    wanted = _operating_point(flags)
    models = model_store(settings)
    with disk_errors(), stages() as shown:
        model = open_model(models, line, version_to_judge(models, line, version))
        current = model.card.calibration
        asked_for = moved(current, wanted) if wanted.is_asked_for else None
        review_rate = current.review_rate if wanted.review_rate is None else wanted.review_rate
        # First the broker: if it cannot be reached, the command fails before it spends time on the defects.
        recent = None if flags.offline else _recent(settings, models, model, flags.last)
        defects = _defect_scores(settings, model, shown)
    rows = table(
        operating_points(current, asked_for, review_rate=review_rate),
        current=current,
        asked_for=asked_for,
        defects=defects,
        recent=recent,
    )
    return _WhatIf(model, len(defects), recent, rows)


def _recent(settings: Settings, models: ModelStore, model: Model, last: int) -> RecentScores:
    card, line = model.card, LineName(model.card.line)

    def same_head(version: str) -> bool:
        if version == card.version:
            return True
        try:
            return open_model(models, line, version).card.head_sha256 == card.head_sha256
        except ModelError:  # not stored any more, or not readable: its scores cannot be compared
            return False

    try:
        with recent_inspections(settings) as inspections:
            return recent_scores(inspections.last(card.line, last), same_head)
    except TransportError as error:
        raise TransportError(f"{error} (with --offline, the command does not need the broker)") from error


def _defect_scores(settings: Settings, model: Model, shown: Stages) -> list[float]:
    """Score the line's stored defects with the worker's scorer."""
    card, samples = model.card, sample_store(settings)
    line = LineName(card.line)
    defects = samples.ids(line, Judgement.DEFECT)
    if not defects:
        return []
    scorer = scorer_for(settings, card.embedding)
    threads = decode_threads(settings, scorer.device.type)
    reader = SampleReader(samples, line, card.embedding, image_limits(settings), threads)
    with shown.stage("defects", len(defects)) as advance:
        batches = reader.batches(defects, Judgement.DEFECT)
        return score_batches(scorer, scorer.take_in(model.head, card.ignored_pixels), batches, advance=advance)


def _print_table(what_if: _WhatIf, *, as_json: bool) -> None:
    if as_json:
        print_json(_document(what_if))
        return
    card, recent = what_if.model.card, what_if.recent
    facts = {
        "version": card.version,
        "held-out good frames": len(card.calibration.scores),
        "smallest max false reject": smallest_alpha(len(card.calibration.scores)),
        "stored defects": what_if.defects,
        "last inspections": _counted(recent),
    }
    print_facts(f"line {card.line}", facts)
    columns = COLUMNS if recent is None else [*COLUMNS, *COUNTED]
    print_rows("thresholds (no change made)", columns, list(map(_row, what_if.rows)))


def _counted(recent: RecentScores | None) -> str:
    if recent is None:
        return "left out (--offline)"
    counted = f"{len(recent.scores)} counted, {recent.other_models} from models with another head left out"
    return f"{counted}, {recent.not_judged} without a score" if recent.not_judged else counted


def _row(row: Row) -> list[object]:
    marks = [mark for mark, holds in (("current", row.is_current), ("asked for", row.is_asked_for)) if holds]
    low, high = row.promise.interval
    counted = [] if row.verdicts is None else [row.verdicts[verdict] for verdict in COUNTED]
    return [
        row.promise.alpha,
        ", ".join(marks),
        row.calibration.threshold,
        f"{100 * low:.1f} to {100 * high:.1f} %",
        row.defects_rejected,
        *counted,
    ]


def _document(what_if: _WhatIf) -> dict[str, object]:
    card, recent = what_if.model.card, what_if.recent
    return {
        "line": card.line,
        "version": card.version,
        "calibration_samples": len(card.calibration.scores),
        "smallest_max_false_reject": smallest_alpha(len(card.calibration.scores)),
        "false_reject_confidence": CONFIDENCE,
        "defects": what_if.defects,
        "inspections": None
        if recent is None
        else {"counted": len(recent.scores), "other_models": recent.other_models, "not_judged": recent.not_judged},
        "rows": [_point(row.calibration) | _outlook(row) for row in what_if.rows],
    }


def _point(calibration: Calibration) -> dict[str, object]:
    return {
        "max_false_reject": calibration.max_false_reject,
        "review_rate": calibration.review_rate,
        "threshold": calibration.threshold,
        "review_threshold": calibration.review_threshold,
        "score_threshold": calibration.score_threshold,
        "false_reject_interval": promise(calibration).interval,
    }


def _outlook(row: Row) -> dict[str, object]:
    return {
        "current": row.is_current,
        "asked_for": row.is_asked_for,
        "defects_rejected": row.defects_rejected,
        "defects_reviewed": row.defects_reviewed,
        "verdicts": row.verdicts,
    }


def _print_moved(done: Moved, *, as_json: bool) -> None:
    card, before = done.card, done.before
    document = {
        "line": card.line,
        "version": card.version,
        "derived_from": card.derived_from,
        "head_of": card.head_of,
        "announced": done.announced,
        "calibration_samples": len(card.calibration.scores),
        "smallest_max_false_reject": smallest_alpha(len(card.calibration.scores)),
        "false_reject_confidence": CONFIDENCE,
        **_point(card.calibration),
        "threshold_before": before.calibration.threshold,
        "max_false_reject_before": before.calibration.max_false_reject,
    }
    if as_json:
        print_json(document)
        return
    print_facts("now live" if done.announced else "stored, not live", document | {"note": _note(card.calibration)})


def _note(calibration: Calibration) -> str | None:
    if calibration.score_threshold is None or calibration.score_threshold < calibration.scores[-1]:
        return None
    n = len(calibration.scores)
    return f"no held-out frame scores higher: {n} frames cannot promise a lower false-reject rate than 1 in {n + 1}"
