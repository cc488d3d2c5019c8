"""Render the report of an evaluation as one HTML page that loads nothing from a server."""

import base64
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from string import Template

from qc_worker.domain.inspection import Verdict
from qc_worker.simplenet.card import ModelCard
from trainer.datasets.labelled import GOOD
from trainer.judging.figures import DefectReport, Evaluation, Masks
from trainer.judging.recall import FALSE_REJECT_RATES, allowed_rejects, roc_curve
from trainer.report.charts import Mark, histogram, roc_chart
from trainer.report.gallery import Album, Gallery, Outline, Tile
from trainer.report.markup import MISSING, figure, percent, rate_name, table, text

TEMPLATE = Path(__file__).with_name("page.html")
ROC_START = 0.1
"""The enlarged part of the ROC curve ends at this false-reject rate."""
TALLEST_VIEW_PX = 230
MAX_NAMES_LISTED = 50


@dataclass(frozen=True, slots=True)
class Report:
    """Content of the page."""

    card: ModelCard
    dataset: str
    """Name of the data set's folder."""
    made_at: datetime
    evaluation: Evaluation
    album: Album


def render_page(report: Report) -> bytes:
    """Render the whole page in UTF-8."""
    evaluation, curve = report.evaluation, roc_curve(*_scores(report))
    page = Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        title=text(f"Line {evaluation.line} on {report.dataset}"),
        heading=text(f"Line {evaluation.line} on {report.dataset}"),
        origin=_origin(report),
        keys=_keys(evaluation),
        histogram=histogram(*_scores(report), evaluation.threshold),
        roc_start=roc_chart(curve, _marks(evaluation), limit=ROC_START),
        roc_whole=roc_chart(curve, _marks(evaluation), limit=1.0),
        auroc=figure(evaluation.image_auroc),
        by_kind=_by_kind(evaluation),
        verdicts=_verdicts(evaluation),
        galleries=_galleries(report.album),
        notes=_notes(evaluation),
    )
    # A file name may hold bytes of no encoding; the report must not fail because of it.
    return page.encode("utf-8", errors="replace")


def _scores(report: Report) -> tuple[list[float], list[float]]:
    """Return the scores of good images, and of all defects."""
    by_kind = report.album.scores
    return by_kind[GOOD], [score for kind, scores in by_kind.items() if kind != GOOD for score in scores]


def _origin(report: Report) -> str:
    card, spec = report.card, report.card.embedding
    promise = f"at most {percent(card.calibration.max_false_reject)} of good frames rejected"
    facts = {
        "Model": card.version,
        "Trained": f"{card.created_at:%Y-%m-%d %H:%M} UTC",
        "Measured": f"{report.made_at:%Y-%m-%d %H:%M} UTC",
        "Backbone": spec.backbone,
        "Input": f"{spec.input_size[1]} × {spec.input_size[0]} px, {spec.aspect}",  # noqa: RUF001 (a times sign)
        "Threshold": f"{card.calibration.threshold:.4g}",
        "Promise": f"{promise}, from {len(card.calibration.scores)} good frames",
    }
    return "".join(f"<div><dt>{text(name)}</dt><dd>{text(fact)}</dd></div>" for name, fact in facts.items())


def _keys(evaluation: Evaluation) -> str:
    n_good, n_defect = _count(evaluation, [GOOD]), _count(evaluation, evaluation.by_defect)
    rejected_good, rejected = (_rejected(evaluation, kinds) for kinds in ([GOOD], evaluation.by_defect))
    promised = f"{percent(evaluation.max_false_reject)} promised at most"
    overlap = evaluation.mask_overlap
    by_mask = f"median of {overlap.n} rejected images" if overlap else "no rejected image with a true mask"
    by_pixel = "no true masks" if evaluation.pixel_auroc is None else f"AUPRO {figure(evaluation.aupro)}"
    return "".join(
        (
            _key("Defects rejected", percent(evaluation.reject_rate), f"{rejected} of {n_defect} images", "defect"),
            _key(
                "Good rejected",
                percent(evaluation.false_reject_rate),
                f"{rejected_good} of {n_good}; {promised}",
                "good",
            ),
            _recall_key(evaluation, n_good),
            _key("Image AUROC", figure(evaluation.image_auroc), "defects against good images"),
            _key("Pixel AUROC", figure(evaluation.pixel_auroc), by_pixel),
            _key("IoU of masks", figure(overlap.iou if overlap else None), by_mask),
            _key("Mask over true area", figure(overlap.area_ratio if overlap else None, 1), by_mask),
        )
    )


def _recall_key(evaluation: Evaluation, n_good: int) -> str:
    values = "".join(
        f'<dd><span class="value">{percent(evaluation.recall_at[str(rate)])}</span>'
        f'<span class="note">at {rate_name(rate)}: {allowed_rejects(n_good, rate)} of {n_good} good</span></dd>'
        for rate in FALSE_REJECT_RATES
    )
    return f'<div class="card recall"><dt>Recall at a given false-reject rate</dt>{values}</div>'


def _key(name: str, value: str, note: str, kind: str = "") -> str:
    return (
        f'<div class="card {kind}"><dt>{text(name)}</dt>'
        f'<dd><span class="value">{text(value)}</span><span class="note">{text(note)}</span></dd></div>'
    )


def _marks(evaluation: Evaluation) -> list[Mark]:
    marks = [Mark(rate, evaluation.recall_at[str(rate)], rate_name(rate)) for rate in FALSE_REJECT_RATES]
    own = Mark(evaluation.false_reject_rate, evaluation.reject_rate, "the model's threshold", is_own=True)
    return [*marks, own]


def _by_kind(evaluation: Evaluation) -> str:
    header = ["kind", "images", "rejected", *(f"recall at {rate_name(rate)}" for rate in FALSE_REJECT_RATES)]
    header += ["image AUROC", "pixel AUROC", "AUPRO", "true masks", "mask IoU", "mask area / true area"]
    rows = [_kind_row(kind, report) for kind, report in evaluation.by_defect.items()]
    if len(rows) > 1:
        rows.append(_kind_row("all", _overall(evaluation)))
    caption = (
        "Rejected: at the model's own threshold. Recall: at the threshold that rejects at most that share of the good "
        "images here. Mask figures: medians over rejected images with a true mask."
    )
    return table(caption, header, rows, last_is_total=len(rows) > 1)


def _kind_row(kind: str, report: DefectReport) -> list[str]:
    overlap = report.mask_overlap
    return [
        kind,
        str(report.n),
        percent(report.reject_rate),
        *(percent(report.recall_at[str(rate)]) for rate in FALSE_REJECT_RATES),
        *map(figure, (report.image_auroc, report.pixel_auroc, report.aupro)),
        str(report.masks),
        figure(overlap.iou) if overlap else MISSING,
        figure(overlap.area_ratio, 1) if overlap else MISSING,
    ]


def _overall(evaluation: Evaluation) -> DefectReport:
    return DefectReport(
        n=_count(evaluation, evaluation.by_defect),
        image_auroc=evaluation.image_auroc,
        pixel_auroc=evaluation.pixel_auroc,
        aupro=evaluation.aupro,
        reject_rate=evaluation.reject_rate,
        recall_at=evaluation.recall_at,
        masks=evaluation.masks.found,
        mask_overlap=evaluation.mask_overlap,
    )


def _verdicts(evaluation: Evaluation) -> str:
    given = [verdict for verdict in Verdict if any(verdict in counts for counts in evaluation.verdicts.values())]
    kinds = [GOOD, *evaluation.by_defect]
    rows = [[kind, *(str(evaluation.verdicts[kind].get(verdict, 0)) for verdict in given)] for kind in kinds]
    return table("Images by kind and by the verdict that the worker would give.", ["kind", *given], rows)


def _galleries(album: Album) -> str:
    return "".join(
        (
            _gallery(
                "Missed defects",
                album.missed,
                "not rejected, lowest scores first, kinds in turn",
                "No defect is missed.",
            ),
            _gallery("False rejects", album.false_rejects, "good, highest scores first", "No good image is rejected."),
            _gallery(
                "Best caught", album.caught, "rejected, highest scores first, kinds in turn", "No defect is caught."
            ),
        )
    )


def _gallery(title: str, gallery: Gallery, order: str, none: str) -> str:
    tiles = gallery.tiles()
    if not tiles:
        return f'<section><h3>{text(title)}</h3><p class="card none">{text(none)}</p></section>'
    shown = f"{len(tiles)} of {gallery.seen}, {order}"
    items = "".join(f"<li>{_tile(tile)}</li>" for tile in tiles)
    return f'<section><h3>{text(title)}</h3><p class="soft">{text(shown)}</p><ul class="gallery">{items}</ul></section>'


def _tile(tile: Tile) -> str:
    caption = (
        f'<b>{text(tile.name)}</b><span class="chip">{text(tile.kind)}</span> {text(tile.verdict)}, '
        f"score {tile.score:.4g}, p = {tile.p_value:.3g}"
    )
    frame = _view(tile, tile.frame_jpeg, f"{tile.name}, {tile.kind}")
    heatmap = _view(
        tile, tile.heatmap_jpeg, f"heatmap of {tile.name}", outlines=(("found", tile.mask), ("truth", tile.truth))
    )
    return f'<figure class="card"><div class="pair">{frame}{heatmap}</div><figcaption>{caption}</figcaption></figure>'


def _view(tile: Tile, jpeg: bytes, alt: str, *, outlines: Sequence[tuple[str, Outline | None]] = ()) -> str:
    ratio = tile.width / tile.height
    size = f"aspect-ratio: {tile.width} / {tile.height}; width: min(100%, {TALLEST_VIEW_PX * ratio:.0f}px)"
    source = f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode('ascii')}"
    drawn = "".join(
        f'<svg viewBox="0 0 {edge.width} {edge.height}" preserveAspectRatio="none" aria-hidden="true">'
        f'<path class="{kind}" d="{edge.path}"/></svg>'
        for kind, edge in outlines
        if edge is not None
    )
    return f'<div class="view" style="{size}"><img src="{source}" alt="{text(alt)}">{drawn}</div>'


def _notes(evaluation: Evaluation) -> str:
    masks = evaluation.masks
    found = f"{masks.found} of {masks.found + masks.missing} images of defects have a true mask."
    parts = ["<h2>Notes</h2>"]
    if masks.missing and masks.looked_for:
        names = f"File names tried for masks, where EXT is one of {', '.join(masks.extensions)}:"
        parts.append(f"<p>{found} {names}</p>")
        parts.append(_listed(f"<code>{text(pattern)}</code>" for pattern in masks.looked_for))
    else:
        parts.append(f"<p>{found}</p>")
    parts += _named_masks(masks)
    if evaluation.ignored_defects:
        parts.append(
            f"<p>The true defects of {evaluation.ignored_defects} images lie entirely in the line's ignored area, "
            "where the model cannot find them. All figures by image count them nevertheless.</p>"
        )
    if evaluation.unreadable:
        parts.append(f"<p>{len(evaluation.unreadable)} files could not be read and were left out:</p>")
        parts.append(_listed(text(name) for name in evaluation.unreadable[:MAX_NAMES_LISTED]))
    parts.append(
        "<p>The model's threshold was set before, on other frames. The thresholds for “recall at” are set on the good "
        "images of this data set: they serve to compare models and promise nothing.</p>"
    )
    return "".join(parts)


def _named_masks(masks: Masks) -> Iterator[str]:
    for names, reason in (
        (masks.without, "images of defects have no mask:"),
        (masks.unreadable, "masks cannot be read:"),
        (masks.empty, "masks are empty:"),
    ):
        if names:
            yield f"<p>{len(names)} {reason}</p>"
            yield _listed(text(name) for name in names[:MAX_NAMES_LISTED])


def _listed(items: Iterable[str]) -> str:
    return f'<ul class="plain">{"".join(f"<li>{item}</li>" for item in items)}</ul>'


def _count(evaluation: Evaluation, kinds: Iterable[str]) -> int:
    return sum(sum(evaluation.verdicts[kind].values()) for kind in kinds)


def _rejected(evaluation: Evaluation, kinds: Iterable[str]) -> int:
    return sum(evaluation.verdicts[kind].get(Verdict.REJECT, 0) for kind in kinds)
