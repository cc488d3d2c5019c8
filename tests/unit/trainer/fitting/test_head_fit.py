import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from qc_worker.domain.errors import TrainingError
from qc_worker.simplenet.checkpoint import head_sha256
from qc_worker.simplenet.fit_settings import FitSettings
from qc_worker.simplenet.head_shape import check_shape
from tests.unit.trainer.factories import no_progress
from trainer.features.patch_bank import PatchBank, PatchFeatures, standardise
from trainer.fitting.head_fit import FitTask, Fitted, fit_head, learning_rate_share, part_weights
from trainer.fitting.part_scores import CellRows, normalise_parts

CPU = torch.device("cpu")
CHANNELS = (10, 6)
SIDE = 5
FRAMES = 40
QUICK = FitSettings(
    steps=80,
    patches_per_step=256,
    sigmas=(1.0,),
    discriminator_lr=5e-3,
    components=4,
    distance_weights=(1.0, 0.0),
    discriminators=((0,), (0, 1)),
    synthetic_shares=(0.5, 0.5),
    hidden=32,
)


def good_features() -> Tensor:
    """Correlated channels, so that independent noise leaves their subspace and can be told from them."""
    random = torch.Generator().manual_seed(0)
    return torch.randn(FRAMES * SIDE**2, 2, generator=random) @ torch.randn(2, sum(CHANNELS), generator=random)


def odd_features(count: int = 100) -> Tensor:
    return good_features()[:count] + 2 * torch.randn(count, sum(CHANNELS), generator=torch.Generator().manual_seed(1))


def features(max_bytes: int = 1 << 30) -> PatchFeatures:
    return standardise(torch.split(good_features(), SIDE**2), max_bytes=max_bytes)


TASK = FitTask(
    features=features(),
    cells=(SIDE, SIDE),
    defective=odd_features().half(),
    level_channels=CHANNELS,
    settings=QUICK,
    seed=0,
    device=CPU,
    dtype=torch.float32,
)


def fit(task: FitTask = TASK) -> Fitted:
    """Fitted and normalised by the frames that it was fitted to."""
    fitted = fit_head(task, advance=no_progress)
    cells = torch.arange(SIDE**2).repeat(FRAMES)
    rows = CellRows(PatchBank((good_features(),)), cells, (SIDE, SIDE))
    normalise_parts([fitted.head], [(fitted.head, rows)], part_weights(task.settings))
    return fitted


def with_settings(task: FitTask, **changed: object) -> FitTask:
    return replace(task, settings=task.settings.model_copy(update=changed))


def mean_score(fitted: Fitted, features: Tensor) -> float:
    frames = features[: len(features) // SIDE**2 * SIDE**2].view(-1, SIDE, SIDE, sum(CHANNELS)).permute(0, 3, 1, 2)
    return float(fitted.head.patch_scores(frames).mean())


def test_the_same_seed_gives_the_same_bits() -> None:
    assert head_sha256(fit().head) == head_sha256(fit().head)


def test_another_seed_gives_another_head() -> None:
    assert head_sha256(fit().head) != head_sha256(fit(replace(TASK, seed=1)).head)


def test_features_mapped_from_disk_give_the_same_bits_as_those_in_memory() -> None:
    assert head_sha256(fit().head) == head_sha256(fit(replace(TASK, features=features(max_bytes=1))).head)


def test_fitting_leaves_torchs_global_generator_alone() -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    fit()
    assert torch.equal(torch.rand(3), expected)


def test_weights_stay_float32_where_products_are_bfloat16() -> None:
    fitted = fit(replace(TASK, dtype=torch.bfloat16))
    assert {tensor.dtype for tensor in fitted.head.state_dict().values()} == {torch.float32, torch.int64}
    assert fitted.closing_loss == pytest.approx(fit().closing_loss, rel=0.15)
    assert head_sha256(fitted.head) == head_sha256(fit(replace(TASK, dtype=torch.bfloat16)).head)


def test_the_head_has_the_shape_that_its_settings_say_and_its_features_support() -> None:
    shape = fit().head.shape
    check_shape(shape)
    assert (shape.level_channels, shape.adapted, shape.components) == (CHANNELS, CHANNELS, (4, 0))
    assert (shape.discriminators, shape.hidden, shape.cells) == (((0,), (0, 1)), 32, (SIDE, SIDE))
    assert fit(with_settings(TASK, components=1_000)).head.shape.components == (FRAMES * SIDE**2 // 64, 0)


@pytest.mark.parametrize("learned_weight", [0.0, 0.5])
@pytest.mark.parametrize("distance_weights", [(0.5, 1.0), (0.0, 1.0)])
def test_the_fitted_head_scores_features_off_the_good_ones_higher(
    learned_weight: float, distance_weights: tuple[float, ...]
) -> None:
    fitted = fit(with_settings(TASK, learned_weight=learned_weight, distance_weights=distance_weights))
    assert mean_score(fitted, odd_features()) > 1 + mean_score(fitted, good_features()[:100])
    assert not fitted.head.training
    assert not any(parameter.requires_grad for parameter in fitted.head.parameters())


def test_scores_of_good_features_lie_about_zero() -> None:
    assert mean_score(fit(), good_features()) == pytest.approx(0, abs=0.1)


def test_without_weight_nothing_is_learned_and_no_loss_is_stated() -> None:
    taken = 0

    def count(steps: int, note: str = "") -> None:
        nonlocal taken
        taken += steps

    fitted = fit_head(with_settings(TASK, learned_weight=0.0), advance=count)
    assert (fitted.head.shape.discriminators, len(fitted.head.discriminators)) == ((), 0)
    assert (fitted.closing_loss, taken) == (0.0, 0)


def test_every_step_of_each_discriminator_is_told() -> None:
    notes: list[str] = []

    def told(steps: int, note: str = "") -> None:
        notes.extend([note] * steps)

    fit_head(TASK, advance=told)
    assert len(notes) == 2 * QUICK.steps
    assert all(note.startswith("loss ") for note in notes)


def test_the_closing_loss_is_that_of_the_discriminator_that_did_worst() -> None:
    worse = with_settings(TASK, discriminators=((0,), (0,)), synthetic_shares=(1.0, 0.0), sigmas=(0.4,))
    alone = [
        fit(with_settings(worse, discriminators=((0,),), synthetic_shares=(share,))).closing_loss
        for share in (1.0, 0.0)
    ]
    assert fit(worse).closing_loss >= max(alone) - 0.1
    assert alone[0] < alone[1]


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_anomalous_features_may_all_be_noise_or_all_from_synthetic_defects(share: float) -> None:
    fitted = fit(with_settings(TASK, synthetic_shares=(share, share)))
    assert fitted.closing_loss < 0.9


def test_without_synthetic_features_noise_is_all_there_is() -> None:
    nothing = fit(replace(TASK, defective=torch.empty(0, sum(CHANNELS))))
    assert nothing.closing_loss < 0.9
    assert head_sha256(nothing.head) == head_sha256(fit(with_settings(TASK, synthetic_shares=(0.0, 0.0))).head)


def test_noise_too_small_to_learn_from_is_an_error_and_no_model() -> None:
    with pytest.raises(TrainingError, match=r"did not learn: loss .* where chance gives 1\.000"):
        fit(with_settings(TASK, sigmas=(1e-6,), synthetic_shares=(0.0, 0.0)))


def test_synthetic_defects_that_look_like_good_ones_are_an_error_and_no_model() -> None:
    unseen = replace(TASK, defective=good_features())
    with pytest.raises(TrainingError, match="did not learn"):
        fit(with_settings(unseen, synthetic_shares=(1.0, 1.0)))


@settings(deadline=None)
@given(steps=st.integers(1, 2_000), warm_up_share=st.floats(0, 0.5), final_lr_share=st.floats(0, 1))
def test_learning_rates_rise_to_their_peak_then_fall_to_what_is_left(
    steps: int, warm_up_share: float, final_lr_share: float
) -> None:
    settings = FitSettings(steps=steps, warm_up_share=warm_up_share, final_lr_share=final_lr_share)
    shares = [learning_rate_share(step, settings) for step in range(steps)]
    peak = shares.index(max(shares))
    assert max(shares) == pytest.approx(1.0)
    assert shares[: peak + 1] == sorted(shares[: peak + 1])
    assert shares[peak:] == sorted(shares[peak:], reverse=True)
    assert all(0 < share <= 1 or math.isclose(share, final_lr_share, abs_tol=1e-3) for share in shares)
