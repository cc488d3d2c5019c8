import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qc_worker.domain.errors import TrainingError
from qc_worker.simplenet.checkpoint import TrainingSettings, head_sha256
from tests.unit.trainer.factories import no_progress
from trainer.fit import FitTask, Fitted, fit_head, learning_rate_share
from trainer.patch_bank import PatchFeatures, standardise
from trainer.validation import ValidationFrames

CPU = torch.device("cpu")
QUICK = TrainingSettings(steps=80, patches_per_step=256, sigmas=(1.0,), discriminator_lr=5e-3, steps_between_looks=10)


def rows() -> torch.Tensor:
    """Correlated channels, so that independent noise leaves their subspace and can be told from them."""
    random = torch.Generator().manual_seed(0)
    return torch.randn(1_000, 2, generator=random) @ torch.randn(2, 16, generator=random)


def features(max_bytes: int = 1 << 30) -> PatchFeatures:
    return standardise(torch.split(rows(), 100), max_bytes=max_bytes)


def validation(shift: float = 2.0) -> ValidationFrames:
    """Four good frames, and the same with half of their patches off the good ones' subspace."""
    good = torch.split(rows()[:40], 10)
    off = shift * torch.randn(10, 16, generator=torch.Generator().manual_seed(1))
    defective = torch.arange(10) < 5
    return ValidationFrames(good, tuple(one + off * defective[:, None] for one in good), (defective,) * 4)


TASK = FitTask(features=features(), validation=None, settings=QUICK, hidden=32, seed=0, device=CPU, dtype=torch.float32)


def fit(task: FitTask = TASK) -> Fitted:
    return fit_head(task, advance=no_progress)


def with_settings(task: FitTask, **changed: object) -> FitTask:
    return replace(task, settings=task.settings.model_copy(update=changed))


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
    assert fitted.closing_loss == pytest.approx(fit().closing_loss, rel=0.1)
    assert head_sha256(fitted.head) == head_sha256(fit(replace(TASK, dtype=torch.bfloat16)).head)


def test_the_fitted_head_scores_features_off_the_good_ones_higher() -> None:
    fitted = fit()
    good = rows()[:64]
    odd = good + 2 * torch.randn(good.shape, generator=torch.Generator().manual_seed(1))

    def mean_score(patches: torch.Tensor) -> float:
        return float(fitted.head.patch_scores(patches.T.reshape(1, 16, 8, 8)).mean())

    assert mean_score(odd) > mean_score(good)
    assert not fitted.head.training


def test_noise_too_small_to_learn_from_is_an_error_and_no_model() -> None:
    with pytest.raises(TrainingError, match=r"did not learn: loss .* where chance gives 1\.000"):
        fit(with_settings(TASK, sigmas=(1e-6,)))


def test_without_validation_frames_every_step_is_taken() -> None:
    fitted = fit()
    assert (fitted.steps, fitted.validation_auroc) == (80, None)


def test_a_fit_that_no_longer_gets_better_stops_and_keeps_the_best_weights() -> None:
    task = with_settings(replace(TASK, validation=validation()), steps=400, patience=2)
    taken = 0

    def count(steps: int, note: str = "") -> None:
        nonlocal taken
        taken += steps

    fitted = fit_head(task, advance=count)
    assert taken == fitted.steps + 2 * QUICK.steps_between_looks < 400
    assert fitted.validation_auroc is not None
    assert fitted.validation_auroc > 0.9
    assert task.validation is not None
    assert task.validation.auroc(fitted.head, dtype=torch.float32) == fitted.validation_auroc


def test_looking_changes_nothing_but_when_to_stop() -> None:
    watched = fit(with_settings(replace(TASK, validation=validation(0.0)), steps=10))
    assert head_sha256(watched.head) == head_sha256(fit(with_settings(TASK, steps=10)).head)


@settings(deadline=None)
@given(steps=st.integers(1, 2_000), warm_up_share=st.floats(0, 0.5), final_lr_share=st.floats(0, 1))
def test_learning_rates_rise_to_their_peak_then_fall_to_what_is_left(
    steps: int, warm_up_share: float, final_lr_share: float
) -> None:
    settings = TrainingSettings(steps=steps, warm_up_share=warm_up_share, final_lr_share=final_lr_share)
    shares = [learning_rate_share(step, settings) for step in range(steps)]
    peak = shares.index(max(shares))
    assert max(shares) == pytest.approx(1.0)
    assert shares[: peak + 1] == sorted(shares[: peak + 1])
    assert shares[peak:] == sorted(shares[peak:], reverse=True)
    assert all(0 < share <= 1 or math.isclose(share, final_lr_share, abs_tol=1e-3) for share in shares)
