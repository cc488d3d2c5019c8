"""`import`, `collect` and `lines`: what samples there are."""

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from qc_worker.domain.errors import SettingsError
from qc_worker.domain.names import LineName
from qc_worker.domain.release import Judgement
from qc_worker.observability.printing import print_json
from qc_worker.settings import Settings
from qc_worker.simplenet.image_files import image_files
from qc_worker.wiring import image_limits
from trainer.atomic import disk_errors
from trainer.collect import CollectReport
from trainer.commands.adapters import checked_line, collector, model_store, sample_store
from trainer.commands.documents import print_facts, print_rows
from trainer.import_samples import Importer, ImportFolder, ImportReport
from trainer.progress import stages
from trainer.releases import live_version
from trainer.samples import sample_counts


def import_folders(
    settings: Settings, *, line: str, good: Path | None, defect: Path | None, masks: Path | None, as_json: bool
) -> None:
    """Import one folder of good images, one of defects, or both. Raises QcError."""
    name = checked_line(line)
    if good is None and defect is None:
        raise SettingsError("nothing to import: give --good DIR, --defect DIR or both")
    if masks is not None and defect is None:
        raise SettingsError("--masks needs --defect")
    reports: dict[str, ImportReport] = {}
    with disk_errors():
        if good is not None:
            reports["good"] = _import(settings, ImportFolder(name, Judgement.GOOD, good))
        if defect is not None:
            reports["defect"] = _import(settings, ImportFolder(name, Judgement.DEFECT, defect, masks))
    _print_imported(settings, name, reports, as_json=as_json)


def collect(settings: Settings, *, follow: bool, as_json: bool) -> None:
    """Gather feedback; with `follow` until interrupted. Raises QcError."""
    report = CollectReport()
    with disk_errors(), collector(settings) as gatherer:
        try:
            gatherer.run(report, stop=(lambda: False) if follow else None)
        except KeyboardInterrupt:
            if not follow:
                raise
    document = collected(report)
    if as_json:
        print_json(document)
    else:
        print_facts("feedback", document)


def collected(report: CollectReport) -> dict[str, object]:
    """A collection's report as a document."""
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


def _import(settings: Settings, task: ImportFolder) -> ImportReport:
    importer = Importer(
        store=sample_store(settings),
        limits=image_limits(settings),
        now=lambda: datetime.now(UTC),
        decode_threads=settings.decode_threads,
    )
    total = len(image_files(task.folder)) if task.folder.is_dir() else 0
    with stages() as shown, shown.stage(f"import {task.judgement}", total) as advance:
        return importer.run(task, advance=advance)


def _print_imported(settings: Settings, line: LineName, reports: dict[str, ImportReport], *, as_json: bool) -> None:
    total = sample_counts(sample_store(settings), line)
    if as_json:
        print_json({"line": line, **{kind: asdict(report) for kind, report in reports.items()}, "samples": total})
        return
    for kind, report in reports.items():
        facts = asdict(report) | {"unreadable": len(report.unreadable), "now_stored": total[kind]}
        print_facts(f"line {line}, {kind}", facts)
