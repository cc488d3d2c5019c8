"""`import`, `collect` and `lines`: add samples and list lines."""

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from qc_worker.domain.errors import SettingsError
from qc_worker.domain.feedback import Judgement
from qc_worker.domain.names import LineName
from qc_worker.domain.release import live_version
from qc_worker.imaging.opening import ImageLimits
from qc_worker.observability.printing import print_json
from qc_worker.settings import Settings
from qc_worker.wiring.capacity import decode_threads
from qc_worker.wiring.shared import image_limits
from trainer.commands.documents import print_facts, print_rows, some_of
from trainer.disk import disk_errors
from trainer.progress import stages
from trainer.samples.feedback.collecting import CollectReport
from trainer.samples.folders.import_folders import ImportFolder, ImportTask, dataset_tasks
from trainer.samples.folders.importing import Importer, ImportReport
from trainer.samples.store import sample_counts
from trainer.wiring import checked_line, collector, model_store, sample_store

ALWAYS_TOLD = ("added", "known", "unreadable")
"""Facts of an import that are always printed for people; others only if they are not zero. `--json` has all."""


@dataclass(frozen=True, slots=True)
class ImportFlags:
    """The command's own flags; None if a flag is not given."""

    line: str
    good: Path | None
    defect: Path | None
    masks: Path | None
    dataset: Path | None


def import_folders(settings: Settings, flags: ImportFlags, *, as_json: bool) -> None:
    """Import a folder of good images, a folder of defects, both, or a data set. Raises QcError."""
    name = checked_line(flags.line)
    with disk_errors():
        # All files are chosen before any is stored, so that a refused folder leaves nothing behind.
        tasks = _tasks(name, flags, image_limits(settings))
        reports = {task.judgement.value: _import(settings, task) for task in tasks}
    _print_imported(settings, name, reports, layout=tasks[0].layout, as_json=as_json)


def _tasks(line: LineName, flags: ImportFlags, limits: ImageLimits) -> list[ImportTask]:
    good, defect, masks, dataset = flags.good, flags.defect, flags.masks, flags.dataset
    if dataset is not None:
        if any((good, defect, masks)):
            raise SettingsError("--dataset imports good images, defects and masks: give no --good, --defect or --masks")
        return dataset_tasks(line, dataset)
    if good is None and defect is None:
        raise SettingsError("nothing to import: give --good DIR, --defect DIR or both, or --dataset DIR")
    if masks is not None and defect is None:
        raise SettingsError("--masks needs --defect: only defects have masks")
    folders = []
    if good is not None:
        folders.append(ImportFolder(line, Judgement.GOOD, good))
    if defect is not None:
        folders.append(ImportFolder(line, Judgement.DEFECT, defect, masks))
    return [folder.task(limits) for folder in folders]


def collect_feedback(settings: Settings, *, follow: bool, as_json: bool) -> None:
    """Collect feedback once, or with `follow` until interrupted. Raises QcError."""
    with disk_errors(), collector(settings) as gatherer:
        report = gatherer.run(stop=(lambda: False) if follow else None)
    document = collected(report)
    if as_json:
        print_json(document)
    else:
        print_facts("feedback", document)


def collected(report: CollectReport) -> dict[str, object]:
    """Convert a collection's report to a document."""
    return {"feedback": report.feedback, **asdict(report)}


def list_lines(settings: Settings, *, as_json: bool) -> None:
    """Print every line that has samples or models. Raises QcError."""
    samples, models = sample_store(settings), model_store(settings)
    names = sorted({*samples.lines(), *models.lines()})
    rows = [
        {
            "line": name,
            **sample_counts(samples, LineName(name)),
            "versions": len(models.versions(name)),
            "live": live_version(models.releases(name)),
        }
        for name in names
    ]
    if as_json:
        print_json({"lines": rows})
    else:
        columns = ["line", "good", "defect", "versions", "live"]
        print_rows("lines", columns, [[row[column] for column in columns] for row in rows])


def _import(settings: Settings, task: ImportTask) -> ImportReport:
    importer = Importer(
        store=sample_store(settings),
        limits=image_limits(settings),
        now=lambda: datetime.now(UTC),
        decode_threads=decode_threads(settings),
    )
    with stages() as shown, shown.stage(f"import {task.judgement}", len(task.files)) as advance:
        return importer.run(task, advance=advance)


def _print_imported(
    settings: Settings, line: LineName, reports: dict[str, ImportReport], *, layout: str | None, as_json: bool
) -> None:
    total = sample_counts(sample_store(settings), line)
    if as_json:
        by_kind = {kind: asdict(report) for kind, report in reports.items()}
        print_json({"line": line, "layout": layout, **by_kind, "samples": total})
        return
    if layout:
        print_facts(f"line {line}", {"layout": layout})
    for kind, report in reports.items():
        facts = {name: found for name, found in asdict(report).items() if found or name in ALWAYS_TOLD}
        facts |= {name: some_of(found) for name, found in facts.items() if isinstance(found, list)}
        print_facts(f"line {line}, {kind}", facts | {"now_stored": total[kind]})
