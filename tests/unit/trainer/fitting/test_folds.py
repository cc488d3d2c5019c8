from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.fitting.folds import folds

NAMES = st.sets(st.text("0123456789abcdef", min_size=4, max_size=8), min_size=2, max_size=60)
FOLDS = st.integers(2, 8)


def groups_of(names: set[str], n_groups: int) -> dict[str, str]:
    return {name: f"g{int(name[:2], 16) % n_groups}" for name in names}


@settings(deadline=None)
@given(names=NAMES, n_folds=FOLDS, n_groups=st.integers(0, 12), seed=st.integers(0, 9))
def test_every_sample_is_held_out_once_and_trained_on_in_all_other_folds(
    names: set[str], n_folds: int, n_groups: int, seed: int
) -> None:
    groups = groups_of(names, n_groups) if n_groups else None
    found = folds(list(names), groups, n_folds, seed)
    assert sorted(sample for fold in found for sample in fold.held_out) == sorted(names)
    assert all(sorted(fold.training + fold.held_out) == sorted(names) for fold in found)
    assert 2 <= len(found) <= n_folds
    assert all(fold.training and fold.held_out for fold in found)


@settings(deadline=None)
@given(names=NAMES, n_folds=FOLDS, n_groups=st.integers(2, 12), seed=st.integers(0, 9))
def test_no_group_is_split_and_folds_differ_by_no_more_than_the_largest_group(
    names: set[str], n_folds: int, n_groups: int, seed: int
) -> None:
    groups = groups_of(names, n_groups)
    labels = set(groups.values())
    found = folds(list(names), groups, n_folds, seed)
    if len(labels) > 1:
        for fold in found:
            assert not {groups[sample] for sample in fold.training} & {groups[sample] for sample in fold.held_out}
        assert len(found) == min(n_folds, len(labels))
        sizes = [len(fold.held_out) for fold in found]
        assert max(sizes) - min(sizes) <= max(list(groups.values()).count(label) for label in labels)


@settings(deadline=None)
@given(names=NAMES, n_folds=FOLDS, seed=st.integers(0, 9))
def test_folds_without_groups_differ_by_one_sample_at_the_most(names: set[str], n_folds: int, seed: int) -> None:
    sizes = [len(fold.held_out) for fold in folds(list(names), None, n_folds, seed)]
    assert max(sizes) - min(sizes) <= 1


@settings(deadline=None)
@given(names=NAMES, n_folds=FOLDS, n_groups=st.integers(1, 12), seed=st.integers(0, 9))
def test_folds_depend_on_ids_groups_and_seed_alone(names: set[str], n_folds: int, n_groups: int, seed: int) -> None:
    groups = groups_of(names, n_groups)
    assert folds(sorted(names), groups, n_folds, seed) == folds(sorted(names, reverse=True), groups, n_folds, seed)


@settings(deadline=None)
@given(names=NAMES, n_folds=FOLDS, seed=st.integers(0, 9))
def test_a_new_sample_moves_no_more_than_one_sample_at_each_border(names: set[str], n_folds: int, seed: int) -> None:
    before = folds(sorted(names), None, n_folds, seed)
    after = folds([*names, "new"], None, n_folds, seed)
    if len(before) == len(after):
        moved = sum(len({*one.held_out} - {*other.held_out}) for one, other in zip(before, after, strict=True))
        assert moved <= n_folds - 1


@settings(deadline=None)
@given(names=NAMES, seed=st.integers(0, 9))
def test_a_new_sample_moves_none_where_each_group_has_a_fold(names: set[str], seed: int) -> None:
    groups = groups_of(names, 4)
    new = {**groups, "new": min(groups.values())}
    if len(set(groups.values())) > 1:
        before = {frozenset(fold.held_out) for fold in folds(list(groups), groups, 8, seed)}
        after = {frozenset(fold.held_out) - {"new"} for fold in folds(list(new), new, 8, seed)}
        assert before == after


def test_another_seed_draws_other_folds() -> None:
    names = [f"{number:03}" for number in range(50)]
    assert folds(names, None, 5, 0) != folds(names, None, 5, 1)
