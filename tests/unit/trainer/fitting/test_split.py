import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qc_worker.domain.calibration import frames_needed, smallest_alpha
from qc_worker.domain.errors import TrainingError
from trainer.fitting.split import N_FOLDS, CalibrateBy, choose_alpha, choose_folds, hold_out, hold_out_count

NAMES = st.sets(st.text("0123456789abcdef", min_size=4, max_size=8), min_size=20, max_size=80)


@settings(deadline=None)
@given(names=NAMES, seed=st.integers(0, 100))
def test_every_sample_is_in_exactly_one_part(names: set[str], seed: int) -> None:
    split = hold_out(list(names), alpha=0.1, seed=seed)
    assert sorted(split.training + split.held_out) == sorted(names)
    assert split.training


@settings(deadline=None)
@given(names=NAMES, seed=st.integers(0, 100), by=st.sampled_from(CalibrateBy), n_groups=st.integers(0, 9))
def test_folds_hold_out_each_sample_once_or_draw_one_part(
    names: set[str], seed: int, by: CalibrateBy, n_groups: int
) -> None:
    groups = {name: f"g{int(name, 16) % n_groups}" for name in names} if n_groups else None
    folds = choose_folds(list(names), by=by, alpha=0.1, seed=seed, groups=groups)
    for fold in folds:
        assert sorted(fold.training + fold.held_out) == sorted(names)
    if by is CalibrateBy.SPLIT:
        assert folds == (hold_out(list(names), alpha=0.1, seed=seed, groups=groups),)
    else:
        assert sorted(sample for fold in folds for sample in fold.held_out) == sorted(names)
        assert len(folds) <= N_FOLDS


@settings(deadline=None)
@given(names=NAMES, new=NAMES, seed=st.integers(0, 100), alpha=st.sampled_from([0.02, 0.1, 0.3]))
def test_new_samples_ask_for_features_of_no_more_samples_than_there_are_new(
    names: set[str], new: set[str], seed: int, alpha: float
) -> None:
    def with_features(samples: set[str]) -> set[str]:
        return {*hold_out(list(samples), alpha=alpha, seed=seed).training}

    assert len(with_features(names | new) - with_features(names)) <= len(new - names)


@settings(deadline=None)
@given(names=NAMES, seed=st.integers(0, 100))
def test_the_split_depends_on_ids_and_seed_alone(names: set[str], seed: int) -> None:
    shuffled = sorted(names, reverse=True)
    assert hold_out(list(names), alpha=0.1, seed=seed) == hold_out(shuffled, alpha=0.1, seed=seed)


@settings(deadline=None)
@given(names=NAMES, seed=st.integers(0, 100), n_groups=st.integers(2, 12))
def test_whole_groups_are_held_out_where_they_leave_half_to_train_on(names: set[str], seed: int, n_groups: int) -> None:
    groups = {name: f"g{int(name, 16) % n_groups}" for name in names}
    sizes = [list(groups.values()).count(label) for label in set(groups.values())]
    split = hold_out(list(names), alpha=0.1, seed=seed, groups=groups)
    assert sorted(split.training + split.held_out) == sorted(names)
    assert frames_needed(0.1) <= len(split.held_out) <= len(names) // 2
    held_out, fitted = ({groups[name] for name in part} for part in (split.held_out, split.training))
    if max(sizes) >= 9 and min(sizes) <= len(names) // 2 and len(sizes) == 2:
        assert not held_out & fitted or min(sizes) < frames_needed(0.1)


def test_groups_too_large_to_hold_out_are_left_aside() -> None:
    names = [f"{number:03}" for number in range(100)]
    groups = {name: "large" if int(name) < 95 else "small" for name in names}
    assert hold_out(names, alpha=0.1, seed=0, groups=groups) == hold_out(names, alpha=0.1, seed=0)
    one = dict.fromkeys(names, "one")
    assert hold_out(names, alpha=0.1, seed=0, groups=one) == hold_out(names, alpha=0.1, seed=0)


def test_another_seed_holds_out_others() -> None:
    names = [f"{number:03}" for number in range(100)]
    assert hold_out(names, alpha=0.1, seed=0) != hold_out(names, alpha=0.1, seed=1)


@settings(deadline=None)
@given(n=st.integers(20, 5_000), alpha=st.floats(0.001, 0.5))
def test_held_out_samples_support_alpha_and_never_exceed_half(n: int, alpha: float) -> None:
    count = hold_out_count(n, max(alpha, smallest_alpha(n // 2)))
    assert frames_needed(max(alpha, smallest_alpha(n // 2))) <= count <= n // 2


def test_a_fifth_is_held_out_where_alpha_takes_less() -> None:
    assert hold_out_count(1_000, 0.01) == 200
    assert hold_out_count(292, 0.01) == 99


def test_a_rate_that_was_asked_for_and_cannot_be_had_is_refused_with_what_it_takes() -> None:
    with pytest.raises(TrainingError, match=r"100 good samples support .* at least 0\.0197; 0\.01 needs 198"):
        choose_alpha(100, 0.01, CalibrateBy.SPLIT)
    with pytest.raises(TrainingError, match=r"50 good samples support .* at least 0\.0197; 0\.01 needs 99"):
        choose_alpha(50, 0.01, CalibrateBy.CROSS)


@settings(deadline=None)
@given(n=st.integers(20, 500), by=st.sampled_from(CalibrateBy))
def test_the_smallest_rate_that_the_error_names_is_accepted(n: int, by: CalibrateBy) -> None:
    with pytest.raises(TrainingError) as refusal:
        choose_alpha(n, 0.001, by)
    named = float(str(refusal.value).split("rate of at least ")[1].split(";")[0])
    assert choose_alpha(n, named, by) == named


def test_without_a_wish_the_rate_is_one_percent_or_what_the_samples_support() -> None:
    assert choose_alpha(198, None, CalibrateBy.SPLIT) == choose_alpha(99, None, CalibrateBy.CROSS) == 0.01
    assert choose_alpha(100, None, CalibrateBy.SPLIT) == choose_alpha(50, None, CalibrateBy.CROSS) == smallest_alpha(50)


def test_fewer_than_twenty_samples_are_refused() -> None:
    with pytest.raises(TrainingError, match="19 good samples are too few: import at least 20"):
        choose_alpha(19, None, CalibrateBy.CROSS)
