import torch
from hypothesis import given
from hypothesis import strategies as st

from trainer.fitting.seeds import LARGEST, torch_seed


@given(st.integers(0, LARGEST))
def test_seeds_that_torch_takes_are_as_they_are(seed: int) -> None:
    assert torch_seed(seed) == seed


@given(st.integers(LARGEST + 1, 1 << 4096))
def test_seeds_of_any_size_can_be_drawn_with_and_differ(seed: int) -> None:
    torch.Generator().manual_seed(torch_seed(seed) + 1000)
    assert torch_seed(seed) != torch_seed(seed + 1)
