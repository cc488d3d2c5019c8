from threading import Barrier

import pytest
import torch

from tests.unit.trainer.factories import no_progress
from trainer.fitting.side_by_side import side_by_side
from trainer.progress import Advance

CPU = torch.device("cpu")
PATIENCE_S = 20.0


@pytest.fixture
def two_threads() -> None:
    torch.set_num_threads(2)


@pytest.mark.usefixtures("two_threads")
def test_jobs_run_at_once_with_a_share_of_threads_and_memory_each_and_come_back_in_order() -> None:
    both = Barrier(2, timeout=PATIENCE_S)

    def job(_: Advance, share: float) -> tuple[int, float, int]:
        return both.wait(), share, torch.get_num_threads()

    found = side_by_side([job, job], advance=no_progress, device=CPU)
    assert sorted(arrived for arrived, *_ in found) == [0, 1]
    assert {(share, threads) for _, share, threads in found} == {(0.5, 1)}
    assert side_by_side([lambda *_: 1, lambda *_: 2, lambda *_: 3], advance=no_progress, device=CPU) == [1, 2, 3]
    assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("two_threads")
def test_elsewhere_than_on_a_cpu_they_follow_each_other() -> None:
    running: list[int] = []

    def job(_: Advance, share: float) -> float:
        running.append(1)
        assert len(running) == 1
        running.pop()
        return share

    assert side_by_side([job] * 3, advance=no_progress, device=torch.device("meta")) == [1.0] * 3


@pytest.mark.usefixtures("two_threads")
def test_the_first_error_is_raised_and_the_others_stop_at_their_next_step() -> None:
    steps: list[int] = []

    def fails(_: Advance, __: float) -> None:
        raise ValueError("did not learn")

    def goes_on(told: Advance, _: float) -> None:
        while len(steps) < 10**7:
            steps.append(1)
            told(1)

    with pytest.raises(ValueError, match="did not learn"):
        side_by_side([fails, goes_on, goes_on], advance=no_progress, device=CPU)
    assert len(steps) < 10**7
    assert torch.get_num_threads() == 2


def test_no_jobs_no_results() -> None:
    assert side_by_side([], advance=no_progress, device=CPU) == []
