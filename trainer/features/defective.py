"""Features of good frames with a synthetic defect drawn on them: what discriminators learn to call anomalous.

Each is computed once, like any frame's features. Kept are cells that a defect covers, and fine cells in and around it.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from qc_worker.simplenet.regions import judged_cells
from trainer.features.extract import FrameFeatures, embed_frames, stored
from trainer.features.mask_rows import EACH, drawn_rows
from trainer.features.synthetic import SYNTHETIC_VERSION, synthetic_defect
from trainer.progress import Advance
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
        return self._name("")

    @property
    def mask_name(self) -> str:
        """Under which its fine cells are kept."""
        return self._name(f"mask {EACH} ")

    def _name(self, what: str) -> str:
        drawn = hashlib.sha256(f"{what}{SYNTHETIC_VERSION} {self.repeat}".encode()).hexdigest()
        return f"{self.sample}-{drawn[:NAME_DIGITS]}"

    def random(self) -> np.random.Generator:
        return np.random.default_rng([int(self.sample, 16), self.repeat])


def twins(samples: Sequence[str], count: int) -> list[Twin]:
    """Choose what to draw on: all samples, then all again, until there are `count`."""
    return [Twin(samples[index % len(samples)], index // len(samples)) for index in range(count)]


@dataclass(frozen=True, slots=True)
class DefectiveFeatures:
    """Features of frames with synthetic defects."""

    covered: Mapping[str, Tensor]
    """Of the cells under each sample's defects, (M, C)."""
    mask_rows: list[Tensor]
    """Of each frame's fine cells, as `drawn_rows` gives them; empty without mask levels."""


def defective_features(features: FrameFeatures, chosen: Sequence[Twin], *, advance: Advance) -> DefectiveFeatures:
    """Features of frames with synthetic defects, from the shelf or computed. Raises TrainingError, OSError."""
    found = {twin: _kept(features, twin) for twin in chosen}
    missing = [twin for twin in chosen if found[twin] is None]
    advance(len(chosen) - len(missing), "cached")
    drawn = map_in_order(
        lambda pair: _drawn(*pair),
        zip(missing, features.reader.pictures([twin.sample for twin in missing]), strict=True),
        threads=features.reader.decode_threads,
    )
    for twin, rows in zip(missing, _embedded(features, missing, drawn), strict=True):
        for name, kept in zip(_names(features, twin), rows, strict=True):
            features.shelf.put(name, kept)
        found[twin] = rows
        advance(1)
    every = {twin: rows for twin, rows in found.items() if rows is not None}
    of_samples: dict[str, list[Tensor]] = {}
    for twin, rows in every.items():
        of_samples.setdefault(twin.sample, []).append(rows[0])
    return DefectiveFeatures(
        covered={sample: torch.cat(parts) for sample, parts in of_samples.items()},
        mask_rows=[mask_rows for _, *fine in every.values() for mask_rows in fine],
    )


def _names(features: FrameFeatures, twin: Twin) -> list[str]:
    return [twin.name, twin.mask_name] if features.scorer.mask_channels else [twin.name]


def _kept(features: FrameFeatures, twin: Twin) -> list[Tensor] | None:
    """Rows under a twin's names; None if any are absent."""
    rows = [features.shelf.get(name) for name in _names(features, twin)]
    return None if any(kept is None for kept in rows) else [kept for kept in rows if kept is not None]


def _drawn(twin: Twin, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Shapes: uint8 (3, H, W) -> uint8 (3, H, W) and bool (H, W)."""
    altered, mask = synthetic_defect(pixels, twin.random())
    return altered, torch.from_numpy(mask)


def _embedded(
    features: FrameFeatures, missing: Sequence[Twin], drawn: Iterator[tuple[Tensor, Tensor]]
) -> Iterator[list[Tensor]]:
    """What is kept of each twin, in order."""
    area, spec = features.scorer.ignored_area(features.ignored), features.scorer.spec
    fine_judged = None if features.ignored is None else judged_cells(features.ignored, spec.mask_grid)
    masks: list[Tensor] = []

    def pixels() -> Iterator[Tensor]:
        for altered, mask in drawn:
            masks.append(mask)
            yield altered

    for index, (embedding, fine) in enumerate(embed_frames(features.scorer, pixels(), area)):
        kept = [stored(embedding[_covered(masks[index], features)])]
        if fine is not None:
            seed = int(missing[index].mask_name.rpartition("-")[2], 16) >> 1  # torch's seeds have 63 bits
            kept.append(stored(drawn_rows(fine, masks[index], spec.mask_grid, fine_judged, seed)))
        masks[index] = torch.empty(0)
        yield kept


def _covered(mask: Tensor, features: FrameFeatures) -> Tensor:
    """Cells that the defect covers, the one it covers most at least, if it is judged. Shape: bool (h0 w0,)."""
    share = F.adaptive_avg_pool2d(mask.float()[None], features.scorer.spec.grid).flatten()
    covered = share >= min(COVERED_SHARE, float(share.max()))
    return covered if features.judged is None else covered & features.judged
