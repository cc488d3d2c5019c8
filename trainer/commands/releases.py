"""`versions`, `promote` and `rollback`: list versions and choose the live one."""

from contextlib import AbstractContextManager

from qc_worker.domain.names import LineName
from qc_worker.domain.release import Release
from qc_worker.observability.printing import print_json
from qc_worker.registry.releasing import Releaser
from qc_worker.runtime.clock import SystemClock
from qc_worker.settings import Settings
from qc_worker.simplenet.card import ModelCard
from qc_worker.wire.json_types import RELEASE
from trainer.commands.documents import print_facts, print_rows
from trainer.disk import disk_errors
from trainer.interrupts import interrupts_held
from trainer.locks import line_lock
from trainer.releasing.versions import VersionEntry, list_versions, version_to_judge
from trainer.wiring import checked_line, checked_version, model_store, release_log

COLUMNS = ["version", "live", "threshold", "samples", "max false reject", "seconds", "head of"]


def print_versions(settings: Settings, *, line: str, as_json: bool) -> None:
    """Print every stored version of a line. Raises QcError."""
    name = checked_line(line)
    with disk_errors():
        entries = list_versions(model_store(settings), name)
    if as_json:
        print_json({"line": name, "versions": list(map(_document, entries))})
    else:
        _print_rows(name, entries)


def _print_rows(line: LineName, entries: list[VersionEntry]) -> None:
    # The wide column `head of` is shown only if a version shares a head.
    shown = len(COLUMNS) if any(entry.card and entry.card.head_of for entry in entries) else len(COLUMNS) - 1
    rows = [_row(entry)[:shown] for entry in entries]
    print_rows(f"line {line}", COLUMNS[:shown], rows, copied=(0, COLUMNS.index("head of")))


def promote_version(settings: Settings, *, line: str, version: str, as_json: bool) -> None:
    """Let an existing version go live. Raises QcError."""
    name, wanted = checked_line(line), checked_version(version)
    with disk_errors(), _locked(settings, name), release_log(settings) as releases, interrupts_held():
        models = model_store(settings)
        version_to_judge(models, name, wanted)
        release = Releaser(models, releases, SystemClock()).promote(name, wanted)
    _print_release(release, as_json=as_json)


def roll_back(settings: Settings, *, line: str, as_json: bool) -> None:
    """Let the previous live version go live again. Raises QcError."""
    name = checked_line(line)
    with disk_errors(), _locked(settings, name), release_log(settings) as releases, interrupts_held():
        release = Releaser(model_store(settings), releases, SystemClock()).rollback(name)
    _print_release(release, as_json=as_json)


def _locked(settings: Settings, line: LineName) -> AbstractContextManager[None]:
    """Lock the line, so that no other command lets a version go live meanwhile. Raises TrainingError."""
    return line_lock(settings.sample_dir, line)


def _print_release(release: Release, *, as_json: bool) -> None:
    document = RELEASE.dump_python(release, mode="json")
    if as_json:
        print_json(document)
    else:
        print_facts("now live", {name: document[name] for name in ("line", "version", "threshold", "action")})


def _document(entry: VersionEntry) -> dict[str, object]:
    document: dict[str, object] = {"version": entry.version, "live": entry.live, "released": entry.released}
    if entry.card is None:
        return document | {"readable": False}
    card = entry.card
    return document | {
        "readable": True,
        "created_at": card.created_at.isoformat(),
        "backbone": card.embedding.backbone,
        "threshold": card.calibration.threshold,
        "training_samples": len(card.samples.training),
        "calibration_samples": len(card.samples.calibration),
        "samples": _sample_count(card),
        "max_false_reject": card.calibration.max_false_reject,
        "review_rate": card.calibration.review_rate,
        "seed": card.seed,
        "duration_s": card.duration_s,
        "head_sha256": card.head_sha256,
        "head_of": card.head_of,
        "derived_from": card.derived_from,
    }


def _row(entry: VersionEntry) -> list[object]:
    card = entry.card
    if card is None:
        return [f"{entry.version} (cannot be read)", entry.live, None, None, None, None, None]
    return [
        entry.version,
        "live" if entry.live else "",
        card.calibration.threshold,
        _sample_count(card),
        card.calibration.max_false_reject,
        card.duration_s,
        card.head_of,
    ]


def _sample_count(card: ModelCard) -> int:
    """Count the good samples of a version, each once: a sample may both fit the head and calibrate it."""
    return len({*card.samples.training, *card.samples.calibration})
