"""Select the images that a report shows, while the evaluation runs.

Only candidates are rendered and kept, as thumbnails: memory depends on the number of kinds, not of images.
"""

import heapq
import io
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import chain, islice, zip_longest

import numpy as np
from PIL import Image

from qc_worker.domain.calibration import Calibration
from qc_worker.domain.inspection import Verdict
from qc_worker.imaging.aspect import Aspect
from qc_worker.imaging.heatmap import heatmap_and_frame
from trainer.datasets.labelled import GOOD
from trainer.judging.evaluate import JudgedImage
from trainer.report.outline import Pixels, outline

TILES_PER_GALLERY = 24
THUMBNAIL_SIDE_PX = 256
THUMBNAIL_QUALITY = 82


@dataclass(frozen=True, slots=True)
class Outline:
    """Edge of a mask as an SVG path, on a grid of `height` x `width`."""

    path: str
    height: int
    width: int


@dataclass(frozen=True, slots=True)
class Tile:
    """One image as a gallery shows it."""

    name: str
    kind: str
    verdict: Verdict
    score: float
    p_value: float
    width: int
    height: int
    frame_jpeg: bytes
    heatmap_jpeg: bytes
    mask: Outline | None
    """The mask that the worker publishes."""
    truth: Outline | None


@dataclass(slots=True)
class Gallery:
    """Images of the highest ranks, with kinds in turn."""

    limit: int = TILES_PER_GALLERY
    seen: int = 0
    """Number of images offered, shown or not."""
    _kept: dict[str, list[tuple[float, int, Tile]]] = field(default_factory=dict)
    """By kind, a heap with the lowest rank on top; among equal ranks, the image seen last."""

    def offer(self, kind: str, rank: float, render: Callable[[], Tile]) -> None:
        """Render and keep the image if its rank is among the highest of its kind."""
        self.seen += 1
        kept = self._kept.setdefault(kind, [])
        if len(kept) < self.limit:
            heapq.heappush(kept, (rank, -self.seen, render()))
        elif rank > kept[0][0]:
            heapq.heapreplace(kept, (rank, -self.seen, render()))

    def tiles(self) -> list[Tile]:
        """List the first tile of every kind, then the second of every kind, and so on."""
        by_kind = [[tile for *_, tile in sorted(kept, reverse=True)] for _, kept in sorted(self._kept.items())]
        in_turn = chain.from_iterable(zip_longest(*by_kind))
        return list(islice((tile for tile in in_turn if tile is not None), self.limit))


class Album:
    """Watches an evaluation and keeps the scores and images that its report shows."""

    def __init__(self, calibration: Calibration, aspect: Aspect) -> None:
        self._calibration = calibration
        self._aspect = aspect
        self.scores: dict[str, list[float]] = {}
        """Scores by kind, in the order of evaluation."""
        self.missed = Gallery()
        """Defects that were not rejected, lowest score first."""
        self.false_rejects = Gallery()
        """Good images that were rejected, highest score first."""
        self.caught = Gallery()
        """Defects that were rejected, highest score first."""

    def see(self, judged: JudgedImage) -> None:
        """Record the score, and offer the image to its gallery if it has one."""
        if not math.isfinite(judged.score):
            return
        kind, rejected = judged.image.kind, judged.verdict is Verdict.REJECT
        self.scores.setdefault(kind, []).append(judged.score)
        if kind != GOOD and not rejected:
            self.missed.offer(kind, -judged.score, lambda: self._tile(judged))
        elif kind != GOOD:
            self.caught.offer(kind, judged.score, lambda: self._tile(judged))
        elif rejected:
            self.false_rejects.offer(kind, judged.score, lambda: self._tile(judged))

    def _tile(self, judged: JudgedImage) -> Tile:
        green = _green(judged, self._calibration.threshold)
        heatmap, frame = heatmap_and_frame(judged.picture, judged.anomaly_map, green, self._aspect, THUMBNAIL_SIDE_PX)
        return Tile(
            name=judged.image.path.name,
            kind=judged.image.kind,
            verdict=judged.verdict,
            score=judged.score,
            p_value=self._calibration.p_value(judged.score),
            width=frame.width,
            height=frame.height,
            frame_jpeg=_jpeg(frame),
            heatmap_jpeg=_jpeg(heatmap),
            mask=_outline(judged.mask),
            truth=_outline(judged.truth),
        )


def _green(judged: JudgedImage, threshold: float) -> float:
    """Choose the score that the heatmap shows in green: the threshold, or less if no score exceeds it.

    Otherwise the heatmap of a missed defect would be blank; people want to see where the score came closest.
    """
    if judged.score > threshold:
        return threshold
    return (float(np.median(judged.picture_map)) + judged.score) / 2


def _outline(mask: Pixels | None) -> Outline | None:
    if mask is None or not mask.any():
        return None
    path, (height, width) = outline(mask)
    return Outline(path, height, width)


def _jpeg(image: Image.Image) -> bytes:
    encoded = io.BytesIO()
    image.save(encoded, "JPEG", quality=THUMBNAIL_QUALITY, optimize=True)
    return encoded.getvalue()
