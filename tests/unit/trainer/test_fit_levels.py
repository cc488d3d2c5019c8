from dataclasses import replace

import pytest
import torch

from qc_worker.simplenet.card import TrainingSettings
from qc_worker.simplenet.checkpoint import head_sha256
from tests.unit.trainer.factories import no_progress
from trainer.fit import FitTask, Fitted
from trainer.fit_levels import Grid, fit_levels, learned_levels
from trainer.patch_bank import standardise

SIDE, FRAMES = 4, 40
GRID = Grid(level_channels=(6, 10), cells=torch.arange(SIDE**2).repeat(FRAMES), size=(SIDE, SIDE))


def rows() -> torch.Tensor:
    """Both levels' channels correlated within the level."""
    random = torch.Generator().manual_seed(0)
    levels = [torch.randn(FRAMES * SIDE**2, 2, generator=random) @ torch.randn(2, n, generator=random) for n in (6, 10)]
    return torch.cat(levels, dim=1)


def task(**changed: object) -> FitTask:
    settings = TrainingSettings(steps=80, patches_per_step=256, sigmas=(2.0,), discriminator_lr=5e-3, directions=20)
    return FitTask(
        features=standardise(torch.split(rows(), SIDE**2), max_bytes=1 << 30),
        validation=None,
        settings=settings.model_copy(update=changed),
        hidden=32,
        seed=0,
        device=torch.device("cpu"),
        dtype=torch.float32,
    )


def fit(one: FitTask) -> Fitted:
    return fit_levels(one, GRID, advance=no_progress)


def patch_scores(fitted: Fitted) -> torch.Tensor:
    embedding = rows().view(FRAMES, SIDE, SIDE, 16).permute(0, 3, 1, 2)
    return fitted.head.patch_scores(embedding)


def test_every_level_has_its_learned_units_and_two_for_each_direction() -> None:
    assert fit(task()).head.hidden == (32 + 2 * 6) + (32 + 2 * 10)


def test_a_level_that_learns_nothing_has_its_distance_alone() -> None:
    assert fit(task(learned_levels=1)).head.hidden == (32 + 2 * 6) + 2 * 10


@pytest.mark.parametrize(("asked", "directions", "expected"), [(0, 5, 2), (1, 5, 1), (9, 5, 2), (1, 0, 2)])
def test_all_levels_learn_unless_there_is_a_distance_to_go_by(asked: int, directions: int, expected: int) -> None:
    assert learned_levels(TrainingSettings(learned_levels=asked, directions=directions), 2) == expected


def test_good_frames_score_about_0_with_a_spread_of_about_1_at_every_cell() -> None:
    scores = patch_scores(fit(task()))
    assert float(scores.mean(0).abs().max()) < 0.5
    assert 0.7 < float(scores.std(0).min()) <= float(scores.std(0).max()) < 1.4


def test_a_level_with_more_weight_has_more_say() -> None:
    plain, weighted = (patch_scores(fit(task(level_weights=weights))) for weights in ((1.0, 1.0), (1.0, 9.0)))
    second_alone = patch_scores(fit(task(level_weights=(1e-6, 1.0))))

    def agreement(scores: torch.Tensor) -> float:
        return float(torch.corrcoef(torch.stack([scores.flatten(), second_alone.flatten()]))[0, 1])

    assert agreement(weighted) > agreement(plain)


def test_the_same_seed_gives_the_same_bits_and_another_seed_others() -> None:
    assert head_sha256(fit(task()).head) == head_sha256(fit(task()).head)
    assert head_sha256(fit(task()).head) != head_sha256(fit(replace(task(), seed=1)).head)
