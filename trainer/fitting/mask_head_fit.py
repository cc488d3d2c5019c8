"""Fitting the mask head: where a defect is, in finer cells than those that say whether there is one.

A head like any other, on finer levels that are not averaged over their neighbourhood. It learns the edges of synthetic
defects: cells under them against cells just beside them, which a coarse cell's features cannot tell apart.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from qc_worker.simplenet.card import TrainingSettings
from qc_worker.simplenet.head import Head
from trainer.features.mask_rows import DEFECTIVE, FAR, joined_rows
from trainer.features.patch_bank import PatchBank, standardise
from trainer.fitting.head_fit import FitTask, fit_head, part_weights
from trainer.fitting.part_scores import CellRows, normalise_parts
from trainer.progress import Advance

HIDDEN = 64
NEAREST = 2
"""Gaussians whose distance is measured: half the cost of four."""
MAX_WHITENER_BYTES = 4 << 20
SPREAD_CELLS = 1.0
"""Standard deviation of the neighbourhood that a fine cell shares its good frames' scores with: few were seen in it."""


@dataclass(frozen=True, slots=True)
class MaskTask:
    """Everything that decides the bits of a mask head."""

    rows: Sequence[Tensor]
    """Of each frame with a synthetic defect, as `drawn_rows` gives them."""
    grid: tuple[int, int]
    level_channels: tuple[int, ...]
    settings: TrainingSettings
    """Of the line's head."""
    seed: int
    device: torch.device
    dtype: torch.dtype


def discriminator_count(levels: int) -> int:
    """How many discriminators a mask head of so many levels has."""
    return len(_discriminators(levels))


def fit_mask_head(task: MaskTask, *, advance: Advance) -> Head:
    """Fit a mask head, its scores normalised. Raises TrainingError if it does not learn."""
    rows = joined_rows(task.rows, task.grid)
    good = rows.kinds != DEFECTIVE
    settings = mask_settings(task.settings, len(task.level_channels))
    fitted = fit_head(
        FitTask(
            features=standardise([rows.features[good]], max_bytes=settings.max_feature_bytes),
            cells=task.grid,
            defective=rows.features[~good],
            level_channels=task.level_channels,
            settings=settings,
            hidden=HIDDEN,
            seed=task.seed,
            device=task.device,
            dtype=task.dtype,
            nearest=NEAREST,
            max_whitener_bytes=MAX_WHITENER_BYTES,
        ),
        advance=advance,
    )
    usual = rows.kinds == FAR if bool((rows.kinds == FAR).any()) else good  # on the smallest grids nothing is far
    judged = CellRows(PatchBank((rows.features[usual],)), rows.cells[usual], task.grid)
    normalise_parts([fitted.head], [(fitted.head, judged)], part_weights(settings), spread_cells=SPREAD_CELLS)
    return fitted.head


def mask_settings(settings: TrainingSettings, levels: int) -> TrainingSettings:
    """Distances at all levels but the coarsest, which only a discriminator reads, where there are several."""
    finer, discriminators = max(1, levels - 1), _discriminators(levels)
    return settings.model_copy(
        update={
            "distance_weights": (1.0,) * finer + (0.0,) * (levels - finer),
            "discriminators": discriminators,
            "synthetic_shares": (1.0,) * len(discriminators),
        }
    )


def _discriminators(levels: int) -> tuple[tuple[int, ...], ...]:
    every = tuple(range(levels))
    return tuple(dict.fromkeys([every[:-1] or every, every]))
