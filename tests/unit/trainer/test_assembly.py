import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qc_worker.simplenet.head import Head
from tests.unit.simplenet.factories import a_head
from trainer.assembly import LevelPart, assemble
from trainer.patch_bank import PatchFeatures, standardise


def part(channels: int, hidden: int, *, seed: int, weight: float = 1.0) -> LevelPart:
    """A level's head as if fitted, with the features that it was fitted to."""
    head = a_head(channels, hidden, seed)
    features = rows_of(channels, seed)
    head.standardiser.load_state_dict(features.standardiser.state_dict())
    return LevelPart(head, is_learned=True, features=features, weight=weight)


def rows_of(channels: int, seed: int) -> PatchFeatures:
    rows = torch.randn(400, channels, generator=torch.Generator().manual_seed(seed)) * 3 + 1
    return standardise([rows], max_bytes=1 << 30)


def scores(head: Head, rows: torch.Tensor) -> torch.Tensor:
    return head.patch_scores(rows.T.reshape(1, head.channels, len(rows), 1)).flatten()


@settings(deadline=None, max_examples=25)
@given(
    channels=st.lists(st.integers(2, 6), min_size=1, max_size=3),
    hidden=st.integers(1, 5),
    weights=st.lists(st.floats(0.25, 4), min_size=3, max_size=3),
    seed=st.integers(0, 99),
)
def test_the_whole_scores_the_weighted_sum_of_its_levels(
    channels: list[int], hidden: int, weights: list[float], seed: int
) -> None:
    parts = [part(count, hidden, seed=seed + i, weight=weights[i]) for i, count in enumerate(channels)]
    alone = [part(count, hidden, seed=seed + i) for i, count in enumerate(channels)]
    whole = assemble(parts, directions=3, seed=seed, cells=(1, 1))
    rows = torch.randn(50, sum(channels), generator=torch.Generator().manual_seed(seed + 50))
    pieces = torch.split(rows, channels, dim=1)
    expected = sum(
        weight * scores(assemble([one], directions=3, seed=seed, cells=(1, 1)), piece)
        for weight, one, piece in zip(weights, alone, pieces, strict=False)
    )
    torch.testing.assert_close(scores(whole, rows), expected, rtol=1e-3, atol=1e-3)


def test_without_directions_only_what_was_learned_counts() -> None:
    whole = assemble([part(4, 5, seed=1)], directions=0, seed=0, cells=(1, 1))
    learned = part(4, 5, seed=1).head
    patches = torch.randn(50, 4, generator=torch.Generator().manual_seed(2))
    ratio = whole.discriminator(whole.adaptor(patches)) / learned.discriminator(learned.adaptor(patches))
    torch.testing.assert_close(ratio, ratio[:1].expand(50), rtol=1e-3, atol=1e-4)


def test_the_distance_is_the_mean_over_orthonormal_directions_and_spreads_by_one() -> None:
    given_part = part(6, 5, seed=3)
    torch.nn.init.zeros_(given_part.head.discriminator.tail.weight)
    whole = assemble([given_part], directions=6, seed=0, cells=(1, 1))
    adapted = torch.cat([given_part.head.adaptor(rows) for rows in given_part.features.standardised_chunks()])
    found = -whole.discriminator(adapted)
    assert float(found.std()) == pytest.approx(1.0, rel=1e-3)
    doubled = -whole.discriminator(2 * adapted)
    torch.testing.assert_close(doubled, 2 * found, rtol=1e-3, atol=1e-4)
    assert bool((found > 0).all())


def test_more_directions_than_channels_are_as_many_as_channels() -> None:
    assert assemble([part(4, 5, seed=1)], directions=100, seed=0, cells=(1, 1)).hidden == 5 + 2 * 4


def test_units_of_one_level_are_blind_to_the_others() -> None:
    whole = assemble([part(3, 5, seed=1), part(4, 5, seed=2)], directions=2, seed=0, cells=(1, 1))
    reads = whole.discriminator.body.weight @ whole.adaptor.projection.weight
    units_of_first = 5 + 2 * 2
    assert torch.count_nonzero(reads[:units_of_first, 3:]) == 0
    assert torch.count_nonzero(reads[units_of_first:, :3]) == 0


def test_equal_seeds_give_equal_bits() -> None:
    heads = [assemble([part(4, 5, seed=1)], directions=4, seed=9, cells=(2, 2)).state_dict() for _ in range(2)]
    assert all(torch.equal(heads[0][name], heads[1][name]) for name in heads[0])
