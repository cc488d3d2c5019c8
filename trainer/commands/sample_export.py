"""`export`: write a line's samples as a labelled data set."""

from dataclasses import asdict
from pathlib import Path

from qc_worker.domain.feedback import Judgement
from qc_worker.observability.printing import print_json
from qc_worker.settings import Settings
from qc_worker.wiring.shared import image_limits
from trainer.commands.documents import print_facts, some_of
from trainer.disk import disk_errors
from trainer.options import ExportFormatFlag
from trainer.progress import stages
from trainer.samples.folders.exporting import Exporter
from trainer.wiring import checked_line, sample_store


def export_samples(
    settings: Settings, *, line: str, folder: Path, form: ExportFormatFlag, test_share: float, as_json: bool
) -> None:
    """Export all samples in use. Raises QcError."""
    name, store = checked_line(line), sample_store(settings)
    total = sum(len(store.ids(name, judgement)) for judgement in (Judgement.GOOD, Judgement.DEFECT))
    exporter = Exporter(store, image_limits(settings), test_share)
    with disk_errors(), stages() as shown, shown.stage("export", total) as advance:
        report = exporter.run(name, folder, form.value, advance=advance)
    if as_json:
        print_json({"line": name, "folder": str(folder), "format": form.value, **asdict(report)})
    else:
        facts = {"images": report.images, "masks": report.masks, "unreadable": some_of(report.unreadable)}
        print_facts(f"line {name}", facts)
