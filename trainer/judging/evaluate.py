"""Judge a labelled folder with a stored model and count the results (`qc-trainer evaluate`)."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import structlog

from qc_worker.domain.errors import InvalidFrame, TrainingError
from qc_worker.domain.inspection import Verdict
from qc_worker.domain.names import readable
from qc_worker.imaging.defects import SEEN_BY_PEOPLE, published_defects
from qc_worker.imaging.opening import ImageLimits
from qc_worker.imaging.preprocessing import Picture, decode_picture
from qc_worker.imaging.run_lengths import decode_mask
from qc_worker.simplenet.checkpoint import Model
from qc_worker.simplenet.inference.scorer import Scorer
from qc_worker.simplenet.regions import NOT_JUDGED
from trainer.datasets.labelled import GOOD, LabelledImage
from trainer.datasets.masks import mask_at_input_size
from trainer.judging.figures import Evaluation, MaskNames, Tally, evaluation_of
from trainer.judging.mask_overlap import overlap
from trainer.progress import Advance
from trainer.samples.reading import BATCH_SIZE, in_batches, stacked
from trainer.threads import map_in_order

log = structlog.get_logger()

Pixels = npt.NDArray[np.bool_]
Map = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class JudgedImage:
    """A labelled image with the worker's judgement. Masks have the map's resolution, without padding: (h, w)."""

    image: LabelledImage
    picture: Picture
    score: float
    verdict: Verdict
    anomaly_map: npt.NDArray[np.float32]
    """With padding, (H, W)."""
    picture_map: npt.NDArray[np.float32]
    """The part of the map that the picture covers, (h, w)."""
    mask: Pixels | None
    """The mask that the worker would publish; None for a pass."""
    truth: Pixels | None
    """All false for a good image; None if the defect's pixels are not known."""


Watch = Callable[[JudgedImage], None]


def watch_nothing(_: JudgedImage) -> None:
    """Do nothing; for evaluations that need figures only."""


@dataclass(frozen=True, slots=True)
class _Example:
    """A decoded test image and its defect's pixels, both at input size; `truth` is None if they are not known."""

    image: LabelledImage
    picture: Picture
    truth: Pixels | None


class Evaluator:
    """Judges labelled images with one model, as the worker would."""

    def __init__(self, model: Model, scorer: Scorer, *, limits: ImageLimits, decode_threads: int) -> None:
        self._card = model.card
        self._scorer = scorer
        self._head = scorer.take_in(model.head, model.card.ignored_pixels)
        self._limits = limits
        self._decode_threads = decode_threads

    def run(self, images: Sequence[LabelledImage], *, advance: Advance, watch: Watch = watch_nothing) -> Evaluation:
        """Judge every image and pass each to `watch`. Raises TrainingError if no good one or no defect is readable."""
        tallies = {kind: Tally() for kind in sorted({image.kind for image in images})}
        masks, readable_paths = MaskNames(), set[Path]()
        for batch in in_batches(self._examples(images), BATCH_SIZE):
            readable_paths |= {example.image.path for example in batch}
            for judged in self._judged(batch):
                _count(judged, tallies[judged.image.kind])
                _note_mask(judged, masks)
                watch(judged)
            advance(len(batch))
        unreadable = [image.name for image in images if image.path not in readable_paths]
        return evaluation_of(tallies, self._card, unreadable, masks)

    def _examples(self, images: Sequence[LabelledImage]) -> Iterator[_Example]:
        """Decode the images, and leave out those that cannot be read."""
        decoded = map_in_order(self._decode, images, threads=self._decode_threads)
        return (example for example in decoded if example is not None)

    def _decode(self, image: LabelledImage) -> _Example | None:
        spec = self._card.embedding
        size, depth = spec.input_size, spec.bit_depth
        decode = partial(decode_picture, input_size=size, aspect=spec.aspect, limits=self._limits, bit_depth=depth)
        try:
            picture = decode(image.path.read_bytes())
        except (InvalidFrame, OSError) as error:
            reason = error.detail if isinstance(error, InvalidFrame) else error.strerror
            log.warning("unreadable image left out", file=readable(image.path), reason=reason)
            return None
        return _Example(image, picture, self._truth(image))

    def _truth(self, image: LabelledImage) -> Pixels | None:
        spec = self._card.embedding
        if image.kind == GOOD:
            return np.zeros(spec.input_size, dtype=bool)
        if not image.masks:
            return None
        try:
            return mask_at_input_size(image.masks, input_size=spec.input_size, aspect=spec.aspect, limits=self._limits)
        except TrainingError as error:
            log.warning("unreadable mask left out", file=readable(image.path), reason=str(error))
            return None

    def _judged(self, batch: Sequence[_Example]) -> Iterator[JudgedImage]:
        pictures = stacked([example.picture for example in batch], self._card.embedding)
        scored = self._scorer.score(pictures.pixels, [self._head] * len(batch), boxes=pictures.boxes)
        maps = scored.maps.cpu().numpy()
        for index, (example, box, score) in enumerate(zip(batch, pictures.boxes, scored.scores.tolist(), strict=True)):
            anomaly_map, verdict = maps[index], self._card.calibration.verdict(score)
            mask_map = scored.mask_map_of(index) if verdict in SEEN_BY_PEOPLE else anomaly_map
            inside = np.s_[box.top : box.top + box.height, box.left : box.left + box.width]
            yield JudgedImage(
                image=example.image,
                picture=example.picture,
                score=score,
                verdict=verdict,
                anomaly_map=anomaly_map,
                picture_map=anomaly_map[inside],
                mask=self._mask(example.picture, anomaly_map, mask_map, verdict),
                truth=None if example.truth is None else example.truth[inside],
            )

    def _mask(self, picture: Picture, anomaly_map: Map, mask_map: Map, verdict: Verdict) -> Pixels | None:
        _, mask = published_defects(
            anomaly_map,
            mask_map,
            verdict,
            self._card.calibration,
            image_size=picture.image_size,
            aspect=self._card.embedding.aspect,
        )
        return None if mask is None else decode_mask(mask)


def _note_mask(judged: JudgedImage, masks: MaskNames) -> None:
    if judged.image.kind == GOOD:
        return
    if judged.truth is None:
        names = masks.unreadable if judged.image.masks else masks.without
        names.append(judged.image.name)
    elif not judged.truth.any():
        masks.empty.append(judged.image.name)


def _count(judged: JudgedImage, tally: Tally) -> None:
    tally.scores.append(judged.score)
    tally.verdicts[judged.verdict] += 1
    if judged.truth is None:
        return
    tally.pixels.add(judged.picture_map, judged.truth)
    if judged.image.kind == GOOD:
        return
    tally.masks += 1
    judged_truth = judged.truth & (judged.picture_map != NOT_JUDGED)
    tally.ignored += bool(judged.truth.any() and not judged_truth.any())
    if judged.verdict is Verdict.REJECT and judged.mask is not None:
        compared = overlap(judged.mask, judged_truth)
        tally.overlaps += [compared] if compared else []
