"""Pauses between attempts grow, and end with a success."""

from threading import Event

from qc_dashboard.projecting.pauses import Pauses


class Waits(Event):
    """A stop event that notes how long it was waited for, and waits for nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.lengths_s: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.lengths_s.append(timeout or 0.0)
        return False


def test_pauses_double_up_to_the_longest_and_start_again_after_a_success() -> None:
    stop = Waits()
    pauses = Pauses(stop, shortest_s=1, longest_s=5)
    for _ in range(4):
        pauses.wait()
    pauses.end()
    pauses.wait()
    assert stop.lengths_s == [1, 2, 4, 5, 1]
