"""Fit the mask head, which locates defects in finer cells than those that the verdict comes from.

A head like any other, on finer levels that are not averaged over their neighbourhood. It learns the edges of synthetic
defects: cells under them against cells just beside them, which a coarse cell's features cannot tell apart.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from qc_worker.simplenet.fit_settings import FitSettings
from qc_worker.simplenet.head import Head
from trainer.features.mask_rows import DEFECTIVE, FAR, joined_rows
from trainer.features.patch_bank import PatchBank, standardise
from trainer.fitting.head_fit import FitTask, fit_head, part_weights
from trainer.fitting.part_scores import CellRows, normalise_parts
from trainer.progress import Advance

HIDDEN = 64
"""Hidden units of each discriminator: masks come from many more cells than verdicts."""
NEAREST = 2
"""Gaussians whose distance is measured: half the cost of four."""
MAX_WHITENER_BYTES = 4 << 20
"""Memory for its local whitening, beside that of the line's head."""
SPREAD_CELLS = 1.0
"""Standard deviation of the neighbourhood that a fine cell shares its good frames' scores with: few were seen in it."""


@dataclass(frozen=True, slots=True)
class MaskTask:
    """Everything that decides the bits of a mask head."""

    rows: Sequence[Tensor]
    """Rows of each frame with a synthetic defect, as `drawn_rows` gives them."""
    grid: tuple[int, int]
    level_channels: tuple[int, ...]
    settings: FitSettings
    """Settings of the line's head, which `mask_settings` adapts."""
    seed: int
    device: torch.device
    dtype: torch.dtype


def discriminator_count(levels: int) -> int:
    """Count the discriminators of a mask head of so many levels."""
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
            seed=task.seed,
            device=task.device,
            dtype=task.dtype,
        ),
        advance=advance,
    )
    usual = rows.kinds == FAR if bool((rows.kinds == FAR).any()) else good  # on the smallest grids nothing is far
    judged = CellRows(PatchBank((rows.features[usual],)), rows.cells[usual], task.grid)
    normalise_parts([fitted.head], [(fitted.head, judged)], part_weights(settings), spread_cells=SPREAD_CELLS)
    return fitted.head


def mask_settings(settings: FitSettings, levels: int) -> FitSettings:
    """Adapt the settings of a line's head to its mask head.

    Of several levels the coarsest has no distance: only a discriminator reads it.
    """
    finer, discriminators = max(1, levels - 1), _discriminators(levels)
    return settings.model_copy(
        update={
            "distance_weights": (1.0,) * finer + (0.0,) * (levels - finer),
            "discriminators": discriminators,
            "synthetic_shares": (1.0,) * len(discriminators),
            "hidden": HIDDEN,
            "nearest": NEAREST,
            "max_whitener_bytes": MAX_WHITENER_BYTES,
        }
    )


def _discriminators(levels: int) -> tuple[tuple[int, ...], ...]:
    every = tuple(range(levels))
    return tuple(dict.fromkeys([every[:-1] or every, every]))
