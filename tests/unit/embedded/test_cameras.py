from itertools import islice
from pathlib import Path

import pytest

from qc_worker.domain.errors import SettingsError
from qc_worker.embedded.cameras import (
    Schedule,
    folder_cameras,
    interleaved,
    labelled_files,
    simulated_cameras,
)


class HandClock:
    """Time that passes only while somebody waits, or by hand."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def monotonic(self) -> float:
        return self.now_s

    def wait(self, seconds: float) -> None:
        self.now_s += seconds


def make_schedule(clock: HandClock, rate_hz: float) -> Schedule:
    return Schedule(rate_hz, monotonic=clock.monotonic, wait=clock.wait)


def test_turns_come_at_a_steady_rate() -> None:
    clock = HandClock()
    schedule = make_schedule(clock, 10)
    turns = []
    for _ in range(50):
        schedule.wait_turn()
        turns.append(clock.now_s)

    assert turns == pytest.approx([100 + 0.1 * turn for turn in range(50)])


def test_work_between_turns_does_not_shift_them() -> None:
    clock = HandClock()
    schedule = make_schedule(clock, 10)
    for turn in range(50):
        schedule.wait_turn()
        assert clock.now_s == pytest.approx(100 + 0.1 * turn)
        clock.now_s += 0.03 * (turn % 3)


def test_a_late_turn_is_made_up_for() -> None:
    clock = HandClock()
    schedule = make_schedule(clock, 10)
    schedule.wait_turn()
    clock.now_s += 0.25
    for _ in range(3):
        schedule.wait_turn()

    assert clock.now_s == pytest.approx(100.3)


def test_a_long_pause_is_not_followed_by_a_flood() -> None:
    clock = HandClock()
    schedule = make_schedule(clock, 10)
    schedule.wait_turn()
    clock.now_s += 60
    before_s, at_once = clock.now_s, 0
    while clock.now_s == before_s:
        schedule.wait_turn()
        at_once += 1

    assert at_once <= 0.5 * 10 + 2


def test_a_new_rate_counts_from_the_next_turn() -> None:
    clock = HandClock()
    schedule = make_schedule(clock, 10)
    schedule.wait_turn()
    schedule.change_rate(2)
    for _ in range(3):
        schedule.wait_turn()

    assert clock.now_s == pytest.approx(100 + 0.1 + 2 * 0.5)


def test_two_simulated_cameras_of_a_line_share_its_parts_without_overlap() -> None:
    shots = list(islice(interleaved(simulated_cameras(["A", "B"], seed=0)), 8))

    assert [(shot.line, shot.camera) for shot in shots[:4]] == [
        ("A", "cam1"),
        ("B", "cam1"),
        ("A", "cam2"),
        ("B", "cam2"),
    ]
    assert len({shot.content for shot in shots}) == 8


def make_folder(folder: Path, names: list[str]) -> Path:
    for name in names:
        file = folder / "test" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(name.encode())
    return folder


def test_folder_cameras_show_every_file_once_before_any_comes_again(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, [f"good/{n}.png" for n in range(5)] + ["crack/1.png", "dent/2.jpg"])
    files = labelled_files(folder, seed=1)
    shots = list(islice(interleaved(folder_cameras(["A", "B"], files)), 14))

    assert len({shot.content for shot in shots[:7]}) == 7
    assert [shot.content for shot in shots[7:]] == [shot.content for shot in shots[:7]]


def test_the_folder_of_a_file_is_the_truth_about_it(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, ["good/1.png", "crack/deep/1.png", "crack/notes.txt"])
    truth = {path.relative_to(folder / "test").as_posix(): defect for path, defect in labelled_files(folder, seed=0)}

    assert truth == {"good/1.png": None, "crack/deep/1.png": "crack"}


def test_the_shuffle_follows_the_seed(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, [f"good/{n}.png" for n in range(20)])

    assert labelled_files(folder, seed=1) == labelled_files(folder, seed=1)
    assert labelled_files(folder, seed=1) != labelled_files(folder, seed=2)


@pytest.mark.parametrize("names", [[], ["good/readme.txt"]])
def test_a_folder_without_test_images_is_refused(tmp_path: Path, names: list[str]) -> None:
    with pytest.raises(SettingsError):
        labelled_files(make_folder(tmp_path, names), seed=0)


def test_cameras_of_a_line_never_show_a_part_with_the_same_serial_number() -> None:
    shots = list(islice(interleaved(simulated_cameras("A", seed=0)), 6))
    assert [shot.part for shot in shots] == [f"A-{index:06d}" for index in range(6)]
