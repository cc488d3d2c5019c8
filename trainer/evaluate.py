"""`qc-trainer evaluate`: how a model does on a labelled folder it has never seen."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
import structlog

from qc_worker.domain.errors import InvalidFrame, TrainingError
from qc_worker.domain.inspection import Verdict
from qc_worker.simplenet.checkpoint import Model
from qc_worker.simplenet.metrics import auroc
from qc_worker.simplenet.preprocessing import ImageLimits, Picture, decode_picture
from qc_worker.simplenet.scorer import Scorer
from trainer.dataset import GOOD, LabelledImage
from trainer.localisation import Localisation, PixelScores, localisation
from trainer.masks import mask_at_input_size
from trainer.pictures import BATCH_SIZE, in_batches, stacked
from trainer.progress import Advance
from trainer.threads import map_in_order

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class DefectReport:
    """One kind of defect against all good frames."""

    n: int
    image_auroc: float
    pixel_auroc: float | None
    aupro: float | None
    reject_rate: float


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Metrics of a whole folder. Pixel metrics at the model's input resolution; None without masks."""

    line: str
    version: str
    n: int
    image_auroc: float
    pixel_auroc: float | None
    aupro: float | None
    false_reject_rate: float
    by_defect: dict[str, DefectReport]
    verdicts: dict[str, dict[str, int]]
    """Counts by kind (`good` and each defect) and verdict."""
    unreadable: tuple[str, ...]
    """Files left out."""


@dataclass(frozen=True, slots=True)
class _Example:
    """A decoded test image and its defect's pixels, both at input size; no mask: the pixels are not known."""

    kind: str
    picture: Picture
    mask: npt.NDArray[np.bool_] | None


class Evaluator:
    """Scores labelled images with one model, the way the worker does."""

    def __init__(self, model: Model, scorer: Scorer, *, limits: ImageLimits, decode_threads: int) -> None:
        self._model = model
        self._scorer = scorer
        self._head = scorer.take_in(model.head)
        self._limits = limits
        self._decode_threads = decode_threads

    def run(self, images: Sequence[LabelledImage], *, advance: Advance) -> Evaluation:
        """Judge every image. Raises TrainingError if no good one or no defect can be read."""
        kinds = {image.kind for image in images}
        scores: dict[str, list[float]] = {kind: [] for kind in sorted(kinds)}
        pixels = {kind: PixelScores() for kind in scores}
        unreadable: list[str] = []
        for batch in in_batches(self._examples(images, unreadable), BATCH_SIZE):
            self._score(batch, scores, pixels)
            advance(len(batch))
        return self._report(scores, pixels, unreadable)

    def _examples(self, images: Sequence[LabelledImage], unreadable: list[str]) -> Iterator[_Example]:
        decoded = map_in_order(self._decode, images, threads=self._decode_threads)
        for image, example in zip(images, decoded, strict=True):
            if example is None:
                unreadable.append(f"{image.kind}/{image.path.name}")
            else:
                yield example

    def _decode(self, image: LabelledImage) -> _Example | None:
        spec = self._model.card.embedding
        decode = partial(decode_picture, input_size=spec.input_size, aspect=spec.aspect, limits=self._limits)
        try:
            picture = decode(image.path.read_bytes())
        except InvalidFrame as error:
            log.warning("unreadable image left out", file=str(image.path), reason=error.detail)
            return None
        return _Example(image.kind, picture, self._mask(image))

    def _mask(self, image: LabelledImage) -> npt.NDArray[np.bool_] | None:
        spec = self._model.card.embedding
        if image.kind == GOOD:
            return np.zeros(spec.input_size, dtype=bool)
        if image.mask is None:
            return None
        return mask_at_input_size(image.mask, input_size=spec.input_size, aspect=spec.aspect)

    def _score(self, batch: Sequence[_Example], scores: dict[str, list[float]], pixels: dict[str, PixelScores]) -> None:
        pictures = stacked([example.picture for example in batch], self._model.card.embedding)
        scored = self._scorer.score(pictures.pixels, [self._head] * len(batch), boxes=pictures.boxes)
        for example, score in zip(batch, scored.scores.tolist(), strict=True):
            scores[example.kind].append(score)
        for example, box, anomaly_map in zip(batch, pictures.boxes, scored.maps.cpu().numpy(), strict=True):
            if example.mask is not None:
                inside = np.s_[box.top : box.top + box.height, box.left : box.left + box.width]
                pixels[example.kind].add(anomaly_map[inside], example.mask[inside])

    def _report(
        self, scores: dict[str, list[float]], pixels: dict[str, PixelScores], unreadable: Sequence[str]
    ) -> Evaluation:
        defects = [kind for kind in scores if kind != GOOD and scores[kind]]
        if not scores[GOOD] or not defects:
            raise TrainingError("the dataset has no readable good image, or none of a defect")
        for group in pixels.values():
            group.finish()
        overall = localisation(list(pixels.values()))
        verdicts = {kind: self._verdicts(of_kind) for kind, of_kind in scores.items() if of_kind}
        return Evaluation(
            line=self._model.card.line,
            version=self._model.card.version,
            n=sum(map(len, scores.values())),
            image_auroc=auroc(scores[GOOD], [score for kind in defects for score in scores[kind]]),
            pixel_auroc=overall.pixel_auroc,
            aupro=overall.aupro,
            false_reject_rate=_reject_rate(verdicts[GOOD]),
            by_defect={
                kind: _defect_report(
                    scores[GOOD], scores[kind], localisation([pixels[GOOD], pixels[kind]]), verdicts[kind]
                )
                for kind in defects
            },
            verdicts=verdicts,
            unreadable=tuple(unreadable),
        )

    def _verdicts(self, scores: Sequence[float]) -> dict[str, int]:
        verdicts = [self._model.card.calibration.verdict(score) for score in scores]
        return {verdict.value: verdicts.count(verdict) for verdict in Verdict if verdict in verdicts}


def _defect_report(
    good: Sequence[float], defect: Sequence[float], pixels: Localisation, verdicts: dict[str, int]
) -> DefectReport:
    return DefectReport(
        n=len(defect),
        image_auroc=auroc(good, defect),
        pixel_auroc=pixels.pixel_auroc,
        aupro=pixels.aupro,
        reject_rate=_reject_rate(verdicts),
    )


def _reject_rate(verdicts: dict[str, int]) -> float:
    return verdicts.get(Verdict.REJECT, 0) / sum(verdicts.values())
