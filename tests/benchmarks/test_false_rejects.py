import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.harness.false_rejects import ALPHAS, false_rejects
from qc_worker.domain.calibration import smallest_alpha

SPLITS = 200


@settings(deadline=None, max_examples=10)
@given(frames=st.integers(60, 250), seed=st.integers(0, 999), decimals=st.sampled_from([0, 1, 6]))
def test_mean_false_reject_rate_stays_at_alpha_or_below_over_random_splits(
    frames: int, seed: int, decimals: int
) -> None:
    random = np.random.default_rng(seed)
    good = random.gamma(2, 2, frames).round(decimals).tolist()
    for row in false_rejects(good, [5.0, 20.0], splits=SPLITS, seed=seed):
        standard_error = row["false_reject_spread"] / SPLITS**0.5
        assert row["false_reject_rate"] <= row["alpha"] + 4 * standard_error


def test_an_alpha_that_half_the_frames_do_not_support_is_left_out() -> None:
    rows = false_rejects([float(score) for score in range(60)], [99.0], splits=5, seed=0)
    assert [row["alpha"] for row in rows] == [alpha for alpha in ALPHAS if alpha >= smallest_alpha(30)]


def test_defects_above_every_good_frame_never_escape() -> None:
    rows = false_rejects([float(score) for score in range(200)], [1_000.0], splits=5, seed=0)
    assert {row["escape_rate"] for row in rows} == {0}


def test_review_leaves_fewer_escapes_than_rejecting_alone() -> None:
    random = np.random.default_rng(0)
    rows = false_rejects(random.normal(0, 1, 200).tolist(), random.normal(1.5, 1, 100).tolist(), splits=20, seed=0)
    assert all(row["escape_rate_with_review"] < row["escape_rate"] for row in rows)
    assert rows[2]["false_review_rate"] == pytest.approx(rows[2]["alpha"], abs=0.03)
