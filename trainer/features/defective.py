"""Features of good frames with a synthetic defect drawn on them, which discriminators learn to call anomalous.

Each is computed once, like any frame's features. Kept are cells that a defect covers, and fine cells in and around it.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from qc_worker.simplenet.regions import judged_cells
from trainer.features.extract import FrameFeatures, embed_frames, stored
from trainer.features.mask_rows import EACH, drawn_rows
from trainer.features.spec import BATCH_SIZE
from trainer.features.synthetic import SYNTHETIC_VERSION, synthetic_defect
from trainer.progress import Advance
from trainer.samples.reading import in_batches
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
        """Name its features on the shelf, by how the defect is drawn: a new way of drawing gives another name."""
        return self._name("")

    @property
    def mask_name(self) -> str:
        """Name its fine cells on the shelf."""
        return self._name(f"mask {EACH} ")

    def _name(self, rows: str) -> str:
        drawn = hashlib.sha256(f"{rows}{SYNTHETIC_VERSION} {self.repeat}".encode()).hexdigest()
        return f"{self.sample}-{drawn[:NAME_DIGITS]}"

    def random(self) -> np.random.Generator:
        """Make the generator that draws this twin's defect."""
        return np.random.default_rng([int(self.sample, 16), self.repeat])


def twins(samples: Sequence[str], count: int) -> list[Twin]:
    """Choose the samples to draw on: all of them, then all again, until there are `count`."""
    return [Twin(samples[index % len(samples)], index // len(samples)) for index in range(count)]


@dataclass(frozen=True, slots=True)
class DefectiveFeatures:
    """Features of frames with synthetic defects."""

    covered: Mapping[str, Tensor]
    """Rows of the cells under each sample's defects, (M, C)."""
    mask_rows: list[Tensor]
    """Rows of each frame's fine cells, as `drawn_rows` gives them; empty without mask levels."""


def defective_features(features: FrameFeatures, chosen: Sequence[Twin], *, advance: Advance) -> DefectiveFeatures:
    """Get the features of frames with synthetic defects, from the shelf or computed. Raises TrainingError, OSError."""
    found = features.of(
        chosen, names=partial(_names, features), compute=partial(_computed, features), advance=advance
    ).rows
    of_samples: dict[str, list[Tensor]] = {}
    for twin, rows in found.items():
        of_samples.setdefault(twin.sample, []).append(rows[0])
    return DefectiveFeatures(
        covered={sample: torch.cat(parts) for sample, parts in of_samples.items()},
        mask_rows=[mask_rows for _, *fine in found.values() for mask_rows in fine],
    )


def _names(features: FrameFeatures, twin: Twin) -> list[str]:
    return [twin.name, twin.mask_name] if features.scorer.mask_channels else [twin.name]


def _computed(features: FrameFeatures, missing: Sequence[Twin]) -> Iterator[list[Tensor]]:
    """Draw each twin's defect and compute the rows for its names, in order."""
    scorer, spec = features.scorer, features.scorer.spec
    area = scorer.ignored_area(features.ignored)
    fine_judged = None if features.ignored is None else judged_cells(features.ignored, spec.mask_grid)
    drawn = map_in_order(
        lambda pair: _drawn(*pair),
        zip(missing, features.reader.pictures([twin.sample for twin in missing]), strict=True),
        threads=features.reader.decode_threads,
    )
    for batch in in_batches(zip(missing, drawn, strict=True), BATCH_SIZE):
        embedded = embed_frames(scorer, [altered for _, (altered, _) in batch], area)
        for (twin, (_, mask)), (embedding, fine) in zip(batch, embedded, strict=True):
            rows = [stored(embedding[_covered(mask, features)])]
            if fine is not None:
                seed = int(twin.mask_name.rpartition("-")[2], 16) >> 1  # torch's seeds have 63 bits
                rows.append(stored(drawn_rows(fine, mask, spec.mask_grid, fine_judged, seed)))
            yield rows


def _drawn(twin: Twin, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Shapes: uint8 (3, H, W) -> uint8 (3, H, W) and bool (H, W)."""
    altered, mask = synthetic_defect(pixels, twin.random())
    return altered, torch.from_numpy(mask)


def _covered(mask: Tensor, features: FrameFeatures) -> Tensor:
    """Mark the cells that the defect covers, the one it covers most at least, if it is judged. Shape: bool (h0 w0,)."""
    share = F.adaptive_avg_pool2d(mask.float()[None], features.scorer.spec.grid).flatten()
    covered = share >= min(COVERED_SHARE, float(share.max()))
    return covered if features.judged is None else covered & features.judged
