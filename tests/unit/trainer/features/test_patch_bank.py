import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qc_worker.domain.errors import TrainingError
from trainer.features.patch_bank import PatchBank, channel_statistics, standardise


def blocks(*lengths: int, channels: int = 3) -> list[torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    return [(torch.randn(length, channels, generator=random) * 5 + 9).bfloat16() for length in lengths]


@settings(deadline=None)
@given(lengths=st.lists(st.integers(1, 7), min_size=1, max_size=8), seed=st.integers(0, 99))
def test_rows_are_those_of_all_blocks_in_a_row(lengths: list[int], seed: int) -> None:
    bank = PatchBank(tuple(blocks(*lengths)))
    index = torch.randint(len(bank), (20,), generator=torch.Generator().manual_seed(seed))
    assert torch.equal(bank.rows(index), torch.cat(bank.blocks)[index].float())


@settings(deadline=None)
@given(lengths=st.lists(st.integers(1, 7), min_size=1, max_size=8), max_rows=st.integers(1, 20))
def test_chunks_are_the_whole_table_in_order(lengths: list[int], max_rows: int) -> None:
    bank = PatchBank(tuple(blocks(*lengths)))
    chunks = list(bank.chunks(max_rows))
    assert torch.equal(torch.cat(chunks), torch.cat(bank.blocks).float())
    assert max(map(len, chunks)) <= max_rows


def test_statistics_equal_torchs() -> None:
    bank = PatchBank(tuple(blocks(40_000, 40_000)))
    mean, std = channel_statistics(bank)
    rows = torch.cat(bank.blocks).double()
    torch.testing.assert_close(mean, rows.mean(0))
    torch.testing.assert_close(std, rows.std(0, correction=0))


def test_in_memory_or_mapped_the_patches_are_the_same_bits() -> None:
    index = torch.tensor([0, 11, 3, 3, 19])
    in_memory, mapped = (standardise(blocks(8, 12), max_bytes=max_bytes) for max_bytes in (1 << 20, 1))
    assert (in_memory.is_standardised, mapped.is_standardised) == (True, False)
    assert torch.equal(in_memory.patches(index), mapped.patches(index))
    assert torch.equal(*(torch.cat(list(one.standardised_chunks())) for one in (in_memory, mapped)))


def test_patches_have_mean_zero_and_deviation_one_per_channel() -> None:
    patches = standardise(blocks(500, 500), max_bytes=1 << 20).patches(torch.arange(1_000))
    torch.testing.assert_close(patches.mean(0), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(patches.std(0, correction=0), torch.ones(3), atol=1e-5, rtol=0)


def test_features_that_are_not_finite_are_refused() -> None:
    with pytest.raises(TrainingError, match="not finite"):
        standardise([torch.tensor([[1.0], [float("nan")]])], max_bytes=1 << 20)
