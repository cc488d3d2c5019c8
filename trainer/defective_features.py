"""Features of good frames with a synthetic defect drawn on them: what discriminators learn to call anomalous.

Each is computed once, like any frame's features. Only cells that a defect covers are kept.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from trainer.features import FrameFeatures, embed_frames, stored
from trainer.progress import Advance
from trainer.synthetic import SYNTHETIC_VERSION, synthetic_defect
from trainer.threads import map_in_order

COVERED_SHARE = 0.25
"""A cell counts as defective if at least this share of it is covered."""
NAME_DIGITS = 16


@dataclass(frozen=True, slots=True)
class Twin:
    """A good sample that a synthetic defect is to be drawn on."""

    sample: str
    repeat: int

    @property
    def name(self) -> str:
        """Under which its features are kept; says how it is drawn, so a new way of drawing is never mistaken."""
        drawn = hashlib.sha256(f"{SYNTHETIC_VERSION} {self.repeat}".encode()).hexdigest()
        return f"{self.sample}-{drawn[:NAME_DIGITS]}"

    def random(self) -> np.random.Generator:
        return np.random.default_rng([int(self.sample, 16), self.repeat])


def twins(samples: Sequence[str], count: int) -> list[Twin]:
    """Choose what to draw on: all samples, then all again, until there are `count`."""
    return [Twin(samples[index % len(samples)], index // len(samples)) for index in range(count)]


def defective_features(features: FrameFeatures, chosen: Sequence[Twin], *, advance: Advance) -> dict[str, Tensor]:
    """Features of the cells under each sample's defects, from the shelf or computed. Shapes: (M, C).

    Raises TrainingError, OSError.
    """
    found = {twin.name: features.shelf.get(twin.name) for twin in chosen}
    missing = [twin for twin in chosen if found[twin.name] is None]
    advance(len(chosen) - len(missing), "cached")
    drawn = map_in_order(
        lambda pair: _drawn(*pair),
        zip(missing, features.reader.pictures([twin.sample for twin in missing]), strict=True),
        threads=features.reader.decode_threads,
    )
    for twin, rows in zip(missing, _embedded(features, drawn), strict=True):
        features.shelf.put(twin.name, rows)
        found[twin.name] = rows
        advance(1)
    of_samples: dict[str, list[Tensor]] = {}
    for twin in chosen:
        kept = found[twin.name]
        if kept is not None:
            of_samples.setdefault(twin.sample, []).append(kept)
    return {sample: torch.cat(parts) for sample, parts in of_samples.items()}


def _drawn(twin: Twin, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Shapes: uint8 (3, H, W) -> uint8 (3, H, W) and bool (H, W)."""
    altered, mask = synthetic_defect(pixels, twin.random())
    return altered, torch.from_numpy(mask)


def _embedded(features: FrameFeatures, drawn: Iterator[tuple[Tensor, Tensor]]) -> Iterator[Tensor]:
    area = features.scorer.ignored_area(features.ignored)
    masks: list[Tensor] = []

    def pixels() -> Iterator[Tensor]:
        for altered, mask in drawn:
            masks.append(mask)
            yield altered

    for index, embedding in enumerate(embed_frames(features.scorer, pixels(), area)):
        covered = _covered(masks[index], features)
        masks[index] = torch.empty(0)
        yield stored(embedding[covered])


def _covered(mask: Tensor, features: FrameFeatures) -> Tensor:
    """Cells that the defect covers, the one it covers most at least, if it is judged. Shape: bool (h0 w0,)."""
    share = F.adaptive_avg_pool2d(mask.float()[None], features.scorer.spec.grid).flatten()
    covered = share >= min(COVERED_SHARE, float(share.max()))
    return covered if features.judged is None else covered & features.judged
