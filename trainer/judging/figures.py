"""Compute the figures of an evaluation from its counts."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from qc_worker.domain.errors import TrainingError
from qc_worker.domain.inspection import Verdict
from qc_worker.simplenet.card import ModelCard
from qc_worker.simplenet.roc import auroc
from trainer.datasets.labelled import GOOD
from trainer.datasets.labelled_folder import MASK_PATTERNS
from trainer.datasets.mask_files import MASK_EXTENSIONS
from trainer.judging.localisation import PixelScores, localisation
from trainer.judging.mask_overlap import MaskOverlap, Overlap, median_overlap
from trainer.judging.recall import FALSE_REJECT_RATES, recall_at


@dataclass(frozen=True, slots=True)
class DefectReport:
    """Figures of one kind of defect, or of all, against all good images. Pixel metrics are None without masks."""

    n: int
    image_auroc: float
    pixel_auroc: float | None
    aupro: float | None
    reject_rate: float
    """Share of these defects rejected at the model's own threshold."""
    recall_at: dict[str, float]
    """Share of these defects rejected, by the largest share of good images that may be rejected (`judging.recall`)."""
    masks: int
    """Number of images with a true mask."""
    mask_overlap: MaskOverlap | None
    """The worker's masks against the true ones; None if no image with a mask was rejected."""


@dataclass(frozen=True, slots=True)
class Masks:
    """Numbers of defect images with and without a true mask, and the file names that were tried."""

    found: int
    missing: int
    looked_for: tuple[str, ...] = MASK_PATTERNS
    """File names tried; EXT is one of `extensions`."""
    extensions: tuple[str, ...] = MASK_EXTENSIONS
    without: tuple[str, ...] = ()
    """Defect images for which no mask was found."""
    unreadable: tuple[str, ...] = ()
    """Defect images whose mask was found but cannot be read; `missing` counts these and those `without`."""
    empty: tuple[str, ...] = ()
    """Defect images whose mask is empty at the model's input resolution."""


@dataclass(slots=True)
class MaskNames:
    """Names of defect images whose true pixels are not known, or whose mask is empty."""

    without: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Metrics of a whole folder. Pixel metrics are at the model's input resolution; None without masks."""

    line: str
    version: str
    n: int
    image_auroc: float
    pixel_auroc: float | None
    aupro: float | None
    threshold: float
    """The model's own threshold: scores above it are rejected."""
    max_false_reject: float
    """Largest share of good frames that the model promises to reject."""
    false_reject_rate: float
    """Share of the good images rejected at that threshold."""
    reject_rate: float
    """Share of the defect images rejected at that threshold."""
    recall_at: dict[str, float]
    """Share of defect images rejected, by the largest share of good images that may be rejected (`judging.recall`)."""
    mask_overlap: MaskOverlap | None
    """The worker's masks of rejected defects against the true ones; None if there is no such mask."""
    masks: Masks
    ignored_defects: int
    """Images whose true defect lies entirely in the ignored area; all figures by image count them."""
    by_defect: dict[str, DefectReport]
    verdicts: dict[str, dict[str, int]]
    """Number of images by kind (`good` and each defect) and verdict."""
    unreadable: tuple[str, ...]
    """Files left out because they cannot be read."""


@dataclass(slots=True)
class Tally:
    """Counts of one kind of images."""

    scores: list[float] = field(default_factory=list)
    verdicts: Counter[Verdict] = field(default_factory=Counter)
    pixels: PixelScores = field(default_factory=PixelScores)
    masks: int = 0
    ignored: int = 0
    overlaps: list[Overlap] = field(default_factory=list)


def evaluation_of(
    tallies: Mapping[str, Tally], card: ModelCard, unreadable: Sequence[str], masks: MaskNames
) -> Evaluation:
    """Compute the figures. Raises TrainingError if no good image or no defect was counted."""
    counted = {kind: tally for kind, tally in tallies.items() if tally.scores}
    defects = {kind: tally for kind, tally in counted.items() if kind != GOOD}
    if GOOD not in counted or not defects:
        raise TrainingError("the data set has no readable good image, or no readable image of a defect")
    for tally in counted.values():
        tally.pixels.finish()
    good, overall = counted[GOOD], _defect_report(counted[GOOD], defects.values())
    return Evaluation(
        line=card.line,
        version=card.version,
        n=len(good.scores) + overall.n,
        image_auroc=overall.image_auroc,
        pixel_auroc=overall.pixel_auroc,
        aupro=overall.aupro,
        threshold=card.calibration.threshold,
        max_false_reject=card.calibration.max_false_reject,
        false_reject_rate=_reject_rate([good]),
        reject_rate=overall.reject_rate,
        recall_at=overall.recall_at,
        mask_overlap=overall.mask_overlap,
        ignored_defects=sum(tally.ignored for tally in defects.values()),
        masks=Masks(
            found=overall.masks,
            missing=overall.n - overall.masks,
            without=tuple(masks.without),
            unreadable=tuple(masks.unreadable),
            empty=tuple(masks.empty),
        ),
        by_defect={kind: _defect_report(good, [tally]) for kind, tally in defects.items()},
        verdicts={kind: _by_verdict(tally) for kind, tally in counted.items()},
        unreadable=tuple(unreadable),
    )


def _defect_report(good: Tally, defects: Iterable[Tally]) -> DefectReport:
    defects = list(defects)
    scores = [score for tally in defects for score in tally.scores]
    pixels = localisation([good.pixels, *(tally.pixels for tally in defects)])
    return DefectReport(
        n=len(scores),
        image_auroc=auroc(good.scores, scores),
        pixel_auroc=pixels.pixel_auroc,
        aupro=pixels.aupro,
        reject_rate=_reject_rate(defects),
        recall_at={str(rate): recall_at(good.scores, scores, rate) for rate in FALSE_REJECT_RATES},
        masks=sum(tally.masks for tally in defects),
        mask_overlap=median_overlap([each for tally in defects for each in tally.overlaps]),
    )


def _by_verdict(tally: Tally) -> dict[str, int]:
    return {verdict.value: tally.verdicts[verdict] for verdict in Verdict if tally.verdicts[verdict]}


def _reject_rate(tallies: Sequence[Tally]) -> float:
    rejected = sum(tally.verdicts[Verdict.REJECT] for tally in tallies)
    return rejected / sum(len(tally.scores) for tally in tallies)
