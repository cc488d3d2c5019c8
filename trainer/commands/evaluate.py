"""`evaluate`: a stored model on a labelled folder."""

from dataclasses import asdict
from pathlib import Path

from qc_worker.settings import Settings
from qc_worker.wiring import image_limits
from trainer.atomic import disk_errors
from trainer.commands.adapters import checked_line, checked_version, model_store, scorer_for
from trainer.commands.documents import print_facts, print_json, print_rows
from trainer.dataset import labelled_images
from trainer.evaluate import Evaluation, Evaluator
from trainer.progress import stages
from trainer.releases import open_model, version_to_judge


def evaluate(settings: Settings, *, line: str, dataset: Path, version: str | None, as_json: bool) -> None:
    """Evaluate the version given, else the live one, else the newest. Raises QcError."""
    name = checked_line(line)
    wanted = checked_version(version) if version else None
    images = labelled_images(dataset)
    models = model_store(settings)
    model = open_model(models, name, version_to_judge(models, name, wanted))
    scorer = scorer_for(settings, model.card.embedding)
    evaluator = Evaluator(model, scorer, limits=image_limits(settings), decode_threads=settings.decode_threads)
    with disk_errors(), stages() as shown, shown.stage("evaluate", len(images)) as advance:
        evaluation = evaluator.run(images, advance=advance)
    if as_json:
        print_json(evaluation)
    else:
        _print_tables(evaluation)


def _print_tables(evaluation: Evaluation) -> None:
    facts = asdict(evaluation)
    for shown_below in ("by_defect", "verdicts", "unreadable"):
        facts.pop(shown_below)
    print_facts("", facts | {"unreadable": len(evaluation.unreadable)})
    rows: list[list[object]] = [
        [kind, report.n, report.image_auroc, report.pixel_auroc, report.aupro, report.reject_rate]
        for kind, report in evaluation.by_defect.items()
    ]
    print_rows("by defect", ["defect", "n", "image AUROC", "pixel AUROC", "AUPRO", "reject rate"], rows)
    counted: list[list[object]] = [[kind, verdicts] for kind, verdicts in evaluation.verdicts.items()]
    print_rows("verdicts", ["kind", "frames"], counted)
