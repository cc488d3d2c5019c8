"""`evaluate`: judge a labelled folder with a stored model."""

import os
from dataclasses import asdict, replace
from pathlib import Path

from qc_worker.domain.errors import SettingsError
from qc_worker.domain.names import LineName, readable
from qc_worker.observability.printing import print_json
from qc_worker.runtime.clock import SystemClock
from qc_worker.settings import Settings
from qc_worker.simplenet.card import ModelCard
from qc_worker.wiring.capacity import decode_threads
from qc_worker.wiring.shared import image_limits
from trainer.commands.documents import print_facts, print_rows, some_of
from trainer.datasets.labelled import LabelledImage
from trainer.datasets.labelled_folder import labelled_images
from trainer.disk import disk_errors, write_readable
from trainer.judging.evaluate import Evaluator, watch_nothing
from trainer.judging.figures import DefectReport, Evaluation
from trainer.judging.recall import FALSE_REJECT_RATES
from trainer.progress import stages
from trainer.releasing.versions import open_model, version_to_judge
from trainer.report.gallery import Album
from trainer.report.page import Report, render_page
from trainer.samples.labelled import labelled_samples
from trainer.wiring import checked_line, checked_version, model_store, sample_store, scorer_for


def evaluate_model(
    settings: Settings, *, line: str, dataset: Path | None, version: str | None, report: Path | None, as_json: bool
) -> None:
    """Evaluate the version given, else the live one, else the newest. Raises QcError."""
    name = checked_line(line)
    wanted = checked_version(version) if version else None
    if report:
        _check_writable(report)
    images = labelled_images(dataset) if dataset else []
    models = model_store(settings)
    model = open_model(models, name, version_to_judge(models, name, wanted))
    images = images or _own_samples(settings, model.card)
    scorer = scorer_for(settings, model.card.embedding)
    threads = decode_threads(settings, scorer.device.type)
    evaluator = Evaluator(model, scorer, limits=image_limits(settings), decode_threads=threads)
    album = Album(model.card.calibration, model.card.embedding.aspect) if report else None
    with disk_errors(), stages() as shown, shown.stage("evaluate", len(images)) as advance:
        evaluation = evaluator.run(images, advance=advance, watch=album.see if album else watch_nothing)
        if dataset is None:
            # Masks of samples have no file names to try.
            evaluation = replace(evaluation, masks=replace(evaluation.masks, looked_for=(), extensions=()))
        if album and report:
            title = readable(dataset.resolve().name) if dataset else "its own samples"
            write_readable(report, render_page(Report(model.card, title, SystemClock().now(), evaluation, album)))
    if as_json:
        print_json(evaluation)
    else:
        _print_tables(evaluation)


def _own_samples(settings: Settings, card: ModelCard) -> list[LabelledImage]:
    seen = {*card.samples.training, *card.samples.calibration}
    return labelled_samples(sample_store(settings), LineName(card.line), seen)


def _check_writable(report: Path) -> None:
    """Check before minutes of work that the report can be written after them. Raises SettingsError."""
    if report.is_dir():
        raise SettingsError(f"--report: {report} is a folder: name a file in it, such as {report / 'report.html'}")
    folder = report.parent
    if not folder.is_dir():
        raise SettingsError(f"--report: there is no folder {folder}: create it first")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise SettingsError(f"--report: no permission to write to {folder}")


def _print_tables(evaluation: Evaluation) -> None:
    facts = asdict(evaluation)
    for shown_below in ("by_defect", "verdicts", "recall_at", "masks", "mask_overlap", "ignored_defects"):
        facts.pop(shown_below)
    facts |= {f"recall_at_{100 * rate:g}_%": evaluation.recall_at[str(rate)] for rate in FALSE_REJECT_RATES}
    facts |= _mask_facts(evaluation) | {"unreadable": len(evaluation.unreadable)}
    print_facts("", facts)
    kinds = evaluation.by_defect.items()
    recall = [f"at {100 * rate:g} %" for rate in FALSE_REJECT_RATES]
    print_rows(
        "by defect", ["defect", "n", "image AUROC", "reject rate", *recall], [_image_row(*kind) for kind in kinds]
    )
    if evaluation.masks.found:
        columns = ["defect", "masks", "pixel AUROC", "AUPRO", "mask IoU", "mask / true area"]
        print_rows("by defect, pixels", columns, [_pixel_row(*kind) for kind in kinds])
    counted: list[list[object]] = [[kind, verdicts] for kind, verdicts in evaluation.verdicts.items()]
    print_rows("verdicts", ["kind", "frames"], counted)


def _mask_facts(evaluation: Evaluation) -> dict[str, object]:
    masks, overlap = evaluation.masks, evaluation.mask_overlap
    facts: dict[str, object] = {
        "mask_IoU": overlap.iou if overlap else None,
        "mask_area_over_true_area": overlap.area_ratio if overlap else None,
        "defects_with_a_mask": f"{masks.found} of {masks.found + masks.missing}",
    }
    looked_for = [*masks.looked_for, f"EXT: {', '.join(masks.extensions)}"]
    facts |= {
        name: some_of(images)
        for name, images in (
            ("defects_without_a_mask", masks.without),
            ("masks_that_cannot_be_read", masks.unreadable),
            ("masks_that_are_empty", masks.empty),
        )
        if images
    }
    if evaluation.ignored_defects:
        facts["defects_entirely_in_the_ignored_area"] = evaluation.ignored_defects
    return facts | ({"mask_file_names_tried": looked_for} if masks.missing and masks.looked_for else {})


def _image_row(kind: str, report: DefectReport) -> list[object]:
    recall = (report.recall_at[str(rate)] for rate in FALSE_REJECT_RATES)
    return [kind, report.n, report.image_auroc, report.reject_rate, *recall]


def _pixel_row(kind: str, report: DefectReport) -> list[object]:
    overlap = report.mask_overlap
    compared = (overlap.iou, overlap.area_ratio) if overlap else (None, None)
    return [kind, report.masks, report.pixel_auroc, report.aupro, *compared]
