import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trainer.fitting.generator import AnomalousFeatures
from trainer.fitting.loss import is_learned, truncated_l1

OUTPUTS = st.lists(st.floats(-3, 3, width=32), min_size=1, max_size=20)


@given(normal=OUTPUTS, anomalous=OUTPUTS, margin=st.floats(0.1, 2))
def test_truncated_l1_equals_the_papers_formula(normal: list[float], anomalous: list[float], margin: float) -> None:
    literal = sum(max(0.0, margin - d) for d in normal) / len(normal)
    literal += sum(max(0.0, margin + d) for d in anomalous) / len(anomalous)
    found = truncated_l1(torch.tensor(normal), torch.tensor(anomalous), margin=margin)
    assert float(found) == pytest.approx(literal, abs=1e-5)


@given(output=st.floats(-0.5, 0.5, width=32))
def test_a_discriminator_that_cannot_tell_has_the_loss_of_chance(output: float) -> None:
    same = torch.full((8,), output)
    assert float(truncated_l1(same, same, margin=0.5)) == pytest.approx(1.0)


def test_a_loss_at_chance_or_not_a_number_is_not_learned() -> None:
    assert not is_learned(1.0, margin=0.5)
    assert not is_learned(math.nan, margin=0.5)
    assert is_learned(0.2, margin=0.5)


def test_noise_has_the_sigma_asked_for_and_no_drift() -> None:
    noise = AnomalousFeatures([0.5], torch.Generator().manual_seed(0))(torch.zeros(20_000, 8))
    assert float(noise.std()) == pytest.approx(0.5, rel=0.01)
    assert float(noise.mean()) == pytest.approx(0.0, abs=0.01)


def test_each_feature_draws_one_sigma_of_the_mixture_at_equal_chance() -> None:
    noise = AnomalousFeatures([0.1, 10.0], torch.Generator().manual_seed(0))(torch.zeros(4_000, 256))
    strong = noise.std(dim=1) > 1
    assert float(strong.float().mean()) == pytest.approx(0.5, abs=0.03)
    assert float(noise[strong].std()) == pytest.approx(10.0, rel=0.02)
    assert float(noise[~strong].std()) == pytest.approx(0.1, rel=0.02)


def test_gradients_reach_the_adaptor_through_the_noise() -> None:
    features = torch.ones(4, 3, requires_grad=True)
    AnomalousFeatures([0.5], torch.Generator().manual_seed(0))(features).sum().backward()  # type: ignore[no-untyped-call]
    assert torch.equal(features.grad if features.grad is not None else torch.zeros(0), torch.ones(4, 3))
