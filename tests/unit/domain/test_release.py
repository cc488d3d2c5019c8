"""What was live when, and what may stand in for a release that cannot be loaded."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from qc_worker.domain.release import Release, ReleaseAction, leading_up_to, live_stack, live_version
from tests.support.factories import NOON

TRAIN, PROMOTE, BACK = ReleaseAction.RETRAIN, ReleaseAction.PROMOTE, ReleaseAction.ROLLBACK
MOVED = ReleaseAction.THRESHOLD

Steps = list[tuple[str, ReleaseAction]]
STEPS = st.lists(st.tuples(st.sampled_from("123"), st.sampled_from(ReleaseAction)), min_size=1, max_size=12)


def history(*steps: tuple[str, ReleaseAction]) -> list[Release]:
    return [
        Release("A", version, "0" * 64, 1.0, NOON + timedelta(seconds=second), action)
        for second, (version, action) in enumerate(steps)
    ]


def stack(*steps: tuple[str, ReleaseAction]) -> list[str]:
    return [release.version for release in live_stack(history(*steps))]


def standing_in(*steps: tuple[str, ReleaseAction]) -> list[str]:
    """Versions for the last of the steps."""
    *before, wanted = history(*steps)
    return [release.version for release in leading_up_to(wanted, [*before, wanted])]


def test_rolling_back_twice_goes_two_versions_back() -> None:
    assert stack(("1", TRAIN), ("2", TRAIN), ("3", TRAIN), ("2", BACK)) == ["1", "2"]
    assert stack(("1", TRAIN), ("2", TRAIN), ("3", TRAIN), ("2", BACK), ("1", BACK)) == ["1"]


def test_a_retrain_after_a_rollback_goes_back_to_what_was_live_then() -> None:
    assert stack(("1", TRAIN), ("2", TRAIN), ("1", BACK), ("3", TRAIN)) == ["1", "3"]


def test_a_rollback_goes_back_to_the_last_time_that_a_version_was_live() -> None:
    assert stack(("1", TRAIN), ("2", TRAIN), ("1", PROMOTE), ("3", TRAIN), ("1", BACK)) == ["1", "2", "1"]


def test_a_rollback_goes_back_over_a_moved_threshold() -> None:
    assert stack(("1", TRAIN), ("1b", MOVED), ("1c", MOVED), ("1b", BACK)) == ["1", "1b"]
    assert standing_in(("1", TRAIN), ("1b", MOVED), ("1c", MOVED)) == ["1", "1b"]


def test_promoting_the_live_version_again_changes_nothing() -> None:
    assert stack(("1", TRAIN), ("2", PROMOTE), ("2", PROMOTE)) == ["1", "2"]


@given(STEPS)
def test_the_top_of_the_stack_is_always_the_live_version(steps: Steps) -> None:
    assert stack(*steps)[-1] == live_version(history(*steps)) == steps[-1][0]


def test_what_was_live_before_stands_in() -> None:
    assert standing_in(("1", TRAIN), ("2", TRAIN), ("3", TRAIN)) == ["1", "2"]


def test_a_version_that_was_gone_back_over_never_stands_in() -> None:
    assert standing_in(("1", TRAIN), ("2", TRAIN), ("3", TRAIN), ("2", BACK)) == ["1"]
    assert standing_in(("1", TRAIN), ("2", TRAIN), ("1", BACK), ("3", TRAIN)) == ["1"]
    assert standing_in(("1", TRAIN), ("2", TRAIN), ("1", PROMOTE)) == []


def test_an_unknown_retrain_follows_on_what_is_known_and_an_unknown_rollback_does_not() -> None:
    known = history(("1", TRAIN), ("2", TRAIN))
    trained, back = history(("3", TRAIN), ("0", BACK))
    assert leading_up_to(trained, known) == known
    assert leading_up_to(back, known) == []


@given(STEPS)
def test_no_version_stands_in_for_itself(steps: Steps) -> None:
    assert steps[-1][0] not in standing_in(*steps)
