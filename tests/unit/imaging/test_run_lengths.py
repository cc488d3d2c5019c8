import contextlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qc_worker.domain.inspection import Mask
from qc_worker.imaging.defects import encode_mask
from qc_worker.imaging.run_lengths import MAX_CHARACTERS, decode_mask


@settings(deadline=None)
@given(height=st.integers(1, 60), width=st.integers(1, 60), share=st.floats(0, 1), seed=st.integers(0, 999))
def test_a_mask_comes_back_as_it_was_encoded(height: int, width: int, share: float, seed: int) -> None:
    mask = np.random.default_rng(seed).random((height, width)) < share
    assert np.array_equal(decode_mask(encode_mask(mask)), mask)


def test_long_runs_come_back() -> None:
    mask = np.zeros((2048, 1500), dtype=bool)
    mask[100:1900, 700:701] = mask[5, :] = True
    assert np.array_equal(decode_mask(encode_mask(mask)), mask)


@settings(deadline=None, max_examples=300)
@given(counts=st.text(max_size=30), height=st.integers(0, 40), width=st.integers(0, 40))
def test_whatever_is_written_gives_a_mask_of_its_size_or_is_refused(counts: str, height: int, width: int) -> None:
    with contextlib.suppress(ValueError):
        assert decode_mask(Mask((height, width), counts)).shape == (height, width)


@pytest.mark.parametrize(
    ("counts", "why"),
    [
        ("", "do not fill"),
        ("1", "do not fill"),
        ("O", "do not fill"),  # negative
        ("a", "truncated"),
        ("\x00", "cannot be read"),
        ("é", "cannot be read"),
        ("o" * 10, "cannot be read"),  # more bits than any picture has pixels
        ("1" * (MAX_CHARACTERS + 1), "characters"),
    ],
)
def test_runs_that_make_no_mask_are_refused(counts: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        decode_mask(Mask((4, 4), counts))
