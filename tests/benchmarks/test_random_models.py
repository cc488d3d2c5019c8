"""Heads that race without having learned anything cost what trained ones cost."""

import pytest
import torch

from benchmarks.harness.contestant import SideSpec
from benchmarks.harness.random_models import line_head, shape_of
from qc_worker.simplenet.head import Head
from qc_worker.simplenet.head_shape import check_shape
from tests.unit.trainer.factories import no_progress
from trainer.features.mask_rows import drawn_rows
from trainer.features.patch_bank import standardise
from trainer.fitting.defaults import defaults_for
from trainer.fitting.head_fit import FitTask, fit_head
from trainer.fitting.mask_head_fit import MaskTask, fit_mask_head
from trainer.fitting.mixture import MAX_FEATURES, MIN_FEATURES_EACH

BACKBONE = "efficientnet_lite0"
LEVEL_CHANNELS = (40, 112, 192)
SIDE = 16
COMPONENTS = 4
QUICK = defaults_for(BACKBONE).fit.model_copy(update={"steps": 30})


def trained_head() -> Head:
    frames = -(-COMPONENTS * MIN_FEATURES_EACH // SIDE**2)
    rows = torch.randn(frames * SIDE**2, sum(LEVEL_CHANNELS), generator=torch.Generator().manual_seed(0))
    task = FitTask(
        features=standardise(torch.split(rows, SIDE**2), max_bytes=1 << 30),
        cells=(SIDE, SIDE),
        defective=rows[:50] + 5,
        level_channels=LEVEL_CHANNELS,
        settings=QUICK.model_copy(update={"components": COMPONENTS}),
        seed=0,
        device=torch.device("cpu"),
        dtype=torch.float32,
    )
    return fit_head(task, advance=no_progress).head


def test_default_heads_that_race_have_the_shape_of_trained_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    full = line_head(SideSpec("ours", BACKBONE, "", "", model="default"), LEVEL_CHANNELS, 0).shape
    monkeypatch.setattr("benchmarks.harness.random_models.MAX_FEATURES", COMPONENTS * MIN_FEATURES_EACH)
    raced = line_head(SideSpec("ours", BACKBONE, "", "", model="default"), LEVEL_CHANNELS, 0).shape
    assert raced == trained_head().shape
    assert MAX_FEATURES // MIN_FEATURES_EACH > defaults_for(BACKBONE).fit.components == max(full.components)


def test_mask_heads_that_race_have_the_shape_of_trained_ones() -> None:
    channels, side = (24, 40, 112), 64
    raced = line_head(SideSpec("ours", BACKBONE, "", "", model="default"), LEVEL_CHANNELS, 0, mask_channels=channels)
    mask = torch.zeros(4 * side, 4 * side, dtype=torch.bool)
    mask[20:60, 30:70] = True
    generator = torch.Generator().manual_seed(0)
    embedding = torch.randn(side * side, sum(channels), generator=generator)
    task = MaskTask(
        rows=[drawn_rows(embedding, mask, (side, side), None, seed) for seed in range(150)],
        grid=(side, side),
        level_channels=channels,
        settings=QUICK,
        seed=0,
        device=torch.device("cpu"),
        dtype=torch.float32,
    )
    assert raced.shape.mask_head == fit_mask_head(task, advance=no_progress).shape


@pytest.mark.parametrize(("backbone", "channels"), [(BACKBONE, (40, 112)), ("wide_resnet50_2", (512, 1024))])
def test_the_papers_heads_that_race_have_one_discriminator_and_no_distance(
    backbone: str, channels: tuple[int, ...]
) -> None:
    shape = shape_of(backbone, "paper").head(channels)
    check_shape(shape)
    assert (shape.parts, shape.discriminators, shape.adapted) == (1, ((0, 1),), channels)
