import math

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qc_worker.simplenet.adaptor import Adaptor
from qc_worker.simplenet.discriminator import Discriminator
from qc_worker.simplenet.standardiser import Standardiser
from tests.unit.simplenet.factories import a_head, a_shape, head_of

SMALL = st.integers(1, 6)
SEEDS = st.integers(0, 999)


@settings(deadline=None, max_examples=30)
@given(count=SMALL, channels=SMALL, adapted=SMALL, seed=SEEDS)
def test_adaptor_is_one_linear_layer(count: int, channels: int, adapted: int, seed: int) -> None:
    torch.manual_seed(seed)
    adaptor, patches = Adaptor(channels, adapted), torch.randn(count, channels)
    weight, bias = adaptor.projection.weight.tolist(), adaptor.projection.bias.tolist()
    expected = [
        [sum(weight[out][i] * patch[i] for i in range(channels)) + bias[out] for out in range(adapted)]
        for patch in patches.tolist()
    ]
    torch.testing.assert_close(adaptor(patches).detach(), torch.tensor(expected), rtol=1e-4, atol=1e-5)


@settings(deadline=None, max_examples=30)
@given(count=SMALL, channels=SMALL, hidden=SMALL, seed=SEEDS)
def test_discriminator_is_linear_norm_leaky_relu_linear(count: int, channels: int, hidden: int, seed: int) -> None:
    (discriminator,) = a_head((channels,), hidden, seed).discriminators
    assert isinstance(discriminator, Discriminator)
    patches = torch.randn(count, channels, generator=torch.Generator().manual_seed(seed))
    expected = [literal_discriminator(discriminator, patch) for patch in patches.tolist()]
    torch.testing.assert_close(discriminator(patches), torch.tensor(expected), rtol=1e-4, atol=1e-5)


def literal_discriminator(discriminator: Discriminator, patch: list[float]) -> float:
    norm = discriminator.norm
    assert norm.running_mean is not None
    assert norm.running_var is not None
    normality = 0.0
    for unit in range(norm.num_features):
        row = discriminator.body.weight[unit].tolist()
        hidden = sum(w * x for w, x in zip(row, patch, strict=True)) + float(discriminator.body.bias[unit])
        hidden = (hidden - float(norm.running_mean[unit])) / math.sqrt(float(norm.running_var[unit]) + 1e-5)
        hidden = hidden * float(norm.weight[unit]) + float(norm.bias[unit])
        hidden = hidden if hidden > 0 else 0.2 * hidden
        normality += float(discriminator.tail.weight[0, unit]) * hidden
    return normality


@settings(deadline=None, max_examples=30)
@given(count=st.integers(2, 9), channels=SMALL, seed=SEEDS)
def test_standardiser_gives_mean_0_and_deviation_1(count: int, channels: int, seed: int) -> None:
    patches = torch.randn(count, channels, generator=torch.Generator().manual_seed(seed)) * 3 + 5
    standardiser = Standardiser(channels)
    standardiser.adopt(patches.mean(0), patches.std(0))
    spread = np.std(patches.double().numpy(), axis=0, ddof=1)
    spread = np.maximum(spread, spread.mean() * 0.01)
    expected = (patches.double().numpy() - patches.double().numpy().mean(0)) / spread
    torch.testing.assert_close(standardiser(patches), torch.from_numpy(expected).float(), rtol=1e-3, atol=1e-4)


def test_a_channel_constant_on_good_frames_is_not_blown_up() -> None:
    patches = torch.randn(100, 4, generator=torch.Generator().manual_seed(0))
    patches[:, 2] = 1.0
    standardiser = Standardiser(4)
    standardiser.adopt(patches.mean(0), patches.std(0))
    assert float(standardiser(torch.full((1, 4), 1.5))[0, 2]) < 100


def test_all_black_training_frames_do_not_divide_by_zero() -> None:
    standardiser = Standardiser(3)
    standardiser.adopt(torch.zeros(3), torch.zeros(3))
    assert bool(torch.isfinite(standardiser(torch.ones(1, 3))).all())


def test_patch_score_is_the_sum_of_the_parts_each_normalised_at_its_cell() -> None:
    head = head_of(a_shape((4, 2), components=(0, 3), discriminators=((0,), (0, 1)), cells=(3, 3)))
    embedding = torch.randn(2, 6, 3, 3, generator=torch.Generator().manual_seed(1))
    scores = head.patch_scores(embedding)
    for frame, y, x in np.ndindex(2, 3, 3):
        first, second = head.adapt(head.standardiser(embedding[frame, :, y, x][None]))
        parts = [
            head.whitenings[0](second)[0],
            -head.discriminators[0](first)[0],
            -head.discriminators[1](torch.cat([first, second], dim=1))[0],
        ]
        expected = (torch.stack(parts) - head.offset[:, y, x]) / head.scale[:, y, x]
        torch.testing.assert_close(scores[frame, y, x], expected.sum(), rtol=1e-4, atol=1e-5)


def test_each_level_is_adapted_from_its_own_channels() -> None:
    head = head_of(a_shape((4, 2), adapted=(3, 1)))
    patches = torch.randn(5, 6, generator=torch.Generator().manual_seed(1))
    changed = patches.clone()
    changed[:, 4:] += 1
    (first, second), (first_too, second_too) = head.adapt(patches), head.adapt(changed)
    assert (first.shape, second.shape) == ((5, 3), (5, 1))
    assert torch.equal(first, first_too)
    assert not torch.equal(second, second_too)
