"""Heads that race without having learned anything cost what trained ones cost."""

import torch

from benchmarks._models import line_head
from benchmarks._race import SideSpec
from qc_worker.simplenet.defaults import defaults_for
from qc_worker.simplenet.folded import fold
from qc_worker.simplenet.head import Head
from tests.unit.trainer.factories import no_progress
from trainer.commands.retrain import training_settings
from trainer.fit import FitTask
from trainer.fit_levels import Grid, fit_levels
from trainer.patch_bank import standardise

BACKBONE = "efficientnet_lite0"
LEVEL_CHANNELS = (112, 320, 40)
"""Of strides 16 and 32 and of the wide map."""
SIDE, FRAMES = 16, 6


def trained_head() -> Head:
    rows = torch.randn(FRAMES * SIDE**2, sum(LEVEL_CHANNELS), generator=torch.Generator().manual_seed(0))
    task = FitTask(
        features=standardise(torch.split(rows, SIDE**2), max_bytes=1 << 30),
        validation=None,
        settings=training_settings(defaults_for(BACKBONE), steps=20),
        hidden=defaults_for(BACKBONE).hidden,
        seed=0,
        device=torch.device("cpu"),
        dtype=torch.float32,
    )
    grid = Grid(LEVEL_CHANNELS, torch.arange(SIDE**2).repeat(FRAMES), (SIDE, SIDE))
    return fit_levels(task, grid, advance=no_progress).head


def shape(head: Head) -> tuple[dict[tuple[int, ...], int], torch.Size]:
    """Hidden units by the levels that they read, and the grid of cells."""
    folded = fold(head, LEVEL_CHANNELS)
    return {units.levels: len(units.tail) for units in folded.units}, folded.offset.shape


def test_default_heads_that_race_have_the_shape_of_trained_ones() -> None:
    raced = line_head(SideSpec("ours", BACKBONE, "", "", model="default"), LEVEL_CHANNELS, 0)
    assert shape(raced) == shape(trained_head())
