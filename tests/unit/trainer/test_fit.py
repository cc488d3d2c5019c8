import pytest
import torch

from qc_worker.domain.errors import TrainingError
from qc_worker.simplenet.checkpoint import TrainingSettings, head_sha256
from tests.unit.trainer.factories import no_progress
from trainer.features import PatchFeatures, standardise
from trainer.fit import Fitted, fit_head

QUICK = TrainingSettings(steps=80, patches_per_step=256, sigmas=(1.0,), discriminator_lr=5e-3)


def features() -> PatchFeatures:
    """Correlated channels, so that independent noise leaves their subspace and can be told from them."""
    random = torch.Generator().manual_seed(0)
    return standardise(torch.randn(1_000, 2, generator=random) @ torch.randn(2, 16, generator=random))


def fit(settings: TrainingSettings = QUICK, *, seed: int = 0) -> Fitted:
    return fit_head(features(), settings, hidden=32, seed=seed, device=torch.device("cpu"), advance=no_progress)


def test_the_same_seed_gives_the_same_bits() -> None:
    assert head_sha256(fit().head) == head_sha256(fit().head)


def test_another_seed_gives_another_head() -> None:
    assert head_sha256(fit().head) != head_sha256(fit(seed=1).head)


def test_fitting_leaves_torchs_global_generator_alone() -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    fit()
    assert torch.equal(torch.rand(3), expected)


def test_the_fitted_head_scores_features_off_the_good_ones_higher() -> None:
    fitted = fit()
    good = features().patches[:64]
    odd = good + 2 * torch.randn(good.shape, generator=torch.Generator().manual_seed(1))
    to_map = fitted.head.standardiser.std, fitted.head.standardiser.mean

    def mean_score(patches: torch.Tensor) -> float:
        raw = patches * to_map[0] + to_map[1]
        return float(fitted.head.patch_scores(raw.T.reshape(1, 16, 8, 8)).mean())

    assert mean_score(odd) > mean_score(good)
    assert not fitted.head.training


def test_noise_too_small_to_learn_from_is_an_error_and_no_model() -> None:
    with pytest.raises(TrainingError, match=r"did not learn: loss .* where chance gives 1\.000"):
        fit(QUICK.model_copy(update={"sigmas": (1e-6,)}))
