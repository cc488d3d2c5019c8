from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from qc_worker.domain.release import Release, ReleaseAction
from tests.unit.trainer.factories import NOW
from trainer.releases import live_stack, live_version


def history(*steps: tuple[str, ReleaseAction]) -> list[Release]:
    return [
        Release("A", version, "0" * 64, 1.0, NOW + timedelta(seconds=second), action)
        for second, (version, action) in enumerate(steps)
    ]


TRAIN, PROMOTE, BACK = ReleaseAction.RETRAIN, ReleaseAction.PROMOTE, ReleaseAction.ROLLBACK


def test_rolling_back_twice_goes_two_versions_back() -> None:
    assert live_stack(history(("1", TRAIN), ("2", TRAIN), ("3", TRAIN), ("2", BACK))) == ["1", "2"]
    assert live_stack(history(("1", TRAIN), ("2", TRAIN), ("3", TRAIN), ("2", BACK), ("1", BACK))) == ["1"]


def test_a_retrain_after_a_rollback_goes_back_to_what_was_live_then() -> None:
    assert live_stack(history(("1", TRAIN), ("2", TRAIN), ("1", BACK), ("3", TRAIN))) == ["1", "3"]


def test_promoting_the_live_version_again_changes_nothing() -> None:
    assert live_stack(history(("1", TRAIN), ("2", PROMOTE), ("2", PROMOTE))) == ["1", "2"]


@given(st.lists(st.tuples(st.sampled_from("123"), st.sampled_from(ReleaseAction)), min_size=1, max_size=12))
def test_the_top_of_the_stack_is_always_the_live_version(steps: list[tuple[str, ReleaseAction]]) -> None:
    assert live_stack(history(*steps))[-1] == live_version(history(*steps))
