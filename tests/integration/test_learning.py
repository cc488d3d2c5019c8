"""From "good" on a page to a live version that learned from it, on a real broker with the real commands; and a frame
that is judged again."""

from collections.abc import Iterator

import pytest

from tests.support.dashboard import DashboardProcess
from tests.support.learning import QUICK, Lesson
from tests.support.plant import Plant

pytestmark = pytest.mark.apache_only


@pytest.fixture
def dashboard(plant: Plant) -> Iterator[DashboardProcess]:
    process = DashboardProcess(plant, f"sqlite:///{plant.folder / 'history.sqlite3'}")
    yield process
    process.end()


def test_a_judgement_is_followed_until_a_live_version_has_learned_from_it(
    plant: Plant, dashboard: DashboardProcess
) -> None:
    plant.train("A", "v1")
    with plant.worker():
        lesson = Lesson(plant, dashboard)
        learned = lesson.learn(*QUICK)
        again = lesson.judge_again(learned.links)
        lesson.close()
    assert (again["state"], again["same"], again["failure"]) == ("done", True, None)
    outcome = learned.judgement["outcome"]
    assert (outcome["version"], outcome["in_live_version"]) == (learned.retrained["version"], True)
    assert learned.retrained["training_samples"] == 25
    assert learned.retrained["collected"]["feedback"] == 0  # `collect` had it already
    steps = {name: lasted for name, lasted in learned.seconds.items() if name not in {"sent", "good_to_live"}}
    assert learned.seconds["good_to_live"] == pytest.approx(sum(steps.values()), abs=0.001)
    assert all(lasted >= 0 for lasted in steps.values())
