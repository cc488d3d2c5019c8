import os
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qc_worker.domain.feedback import Judgement
from qc_worker.domain.frame import Position
from qc_worker.domain.names import line_name
from tests.unit.trainer.factories import LIMITS, LINE, NOW, no_progress, png, write_images
from trainer.samples.card import Origin
from trainer.samples.folders.import_folders import ImportFolder
from trainer.samples.folders.importing import Importer
from trainer.samples.groups import GroupBy, Grouping, group_label, group_samples, session_starts
from trainer.samples.store import SampleStore

MORNING = datetime(2026, 11, 23, 8, tzinfo=UTC)
EVENING = datetime(2026, 11, 23, 20, tzinfo=UTC)


def minutes(*offsets: float) -> list[datetime]:
    return [MORNING + timedelta(minutes=offset) for offset in offsets]


def every_minute(start: datetime, count: int) -> list[datetime]:
    return [start + timedelta(minutes=number) for number in range(count)]


def origin(name: str = "x.png", **known: object) -> Origin:
    return Origin.model_validate({"imported": name, "accepted_by": "import", "accepted_at": NOW, **known})


def grouped(tmp_path: Path, origins: Sequence[Origin], by: GroupBy) -> Grouping:
    store = SampleStore(tmp_path)
    for seed, each in enumerate(origins):
        store.add(LINE, Judgement.GOOD, png(seed), origin=each)
    return group_samples(store, LINE, store.ids(LINE, Judgement.GOOD), by)


def captured(times: Iterable[datetime]) -> list[Origin]:
    return [origin(f"{time:%H%M%S%f}.png", captured_at=time) for time in times]


def modified(times: Iterable[datetime], folder: str = "") -> list[Origin]:
    return [origin(f"{folder}{number}.png", modified_at=time) for number, time in enumerate(times)]


def test_a_session_ends_at_a_gap_over_half_an_hour_and_over_twenty_median_gaps() -> None:
    assert session_starts(minutes(0, 1, 2, 40, 41)) == minutes(0, 40)
    assert session_starts(minutes(0, 1, 2, 29, 30)) == minutes(0)
    assert session_starts(minutes(0, 10, 20, 30, 220, 230)) == minutes(0)
    assert session_starts(minutes(0, 10, 20, 30, 240, 250)) == minutes(0, 240)


@given(st.lists(st.floats(0, 10_000), min_size=1, max_size=40))
def test_sessions_depend_on_times_and_not_on_their_order(offsets: list[float]) -> None:
    starts = session_starts(minutes(*offsets))
    assert starts == session_starts(minutes(*reversed(offsets)))
    assert starts[0] == min(minutes(*offsets))


@settings(deadline=None)
@given(st.text(min_size=1, max_size=80))
def test_every_label_is_a_valid_name(text: str) -> None:
    assert line_name(group_label(text))
    assert len(group_label(text)) <= 40


def test_folders_that_differ_only_in_what_labels_cannot_hold_keep_apart() -> None:
    assert group_label("camera-1") == "camera-1"
    assert group_label("tag <1>") != group_label("tag [1]")
    assert group_label("../..") != group_label("..")
    assert group_label("collected") != "collected"


def test_auto_takes_sessions_by_capture_time(tmp_path: Path) -> None:
    found = grouped(tmp_path, captured([*every_minute(MORNING, 8), *every_minute(EVENING, 5)]), GroupBy.AUTO)
    assert (found.by, found.sizes) == (GroupBy.SESSION, {"20261123T080000": 8, "20261123T200000": 5})


def test_auto_takes_sessions_by_file_time(tmp_path: Path) -> None:
    found = grouped(tmp_path, modified([*every_minute(MORNING, 8), *every_minute(EVENING, 5)]), GroupBy.AUTO)
    assert (found.by, len(found.sizes)) == (GroupBy.SESSION, 2)


def test_file_times_of_copied_files_mean_nothing(tmp_path: Path) -> None:
    bursts = [start + timedelta(milliseconds=20 * number) for start in (MORNING, EVENING) for number in range(8)]
    assert grouped(tmp_path / "bursts", modified(bursts), GroupBy.AUTO).by is GroupBy.NONE
    assert grouped(tmp_path / "equal", modified([MORNING] * 16), GroupBy.AUTO).by is GroupBy.NONE


def test_auto_takes_folders_where_times_say_nothing(tmp_path: Path) -> None:
    origins = [*modified([MORNING] * 9, "monday/cam1/"), *modified([MORNING] * 6, "tuesday/cam1/")]
    found = grouped(tmp_path, origins, GroupBy.AUTO)
    assert (found.by, found.sizes) == (GroupBy.FOLDER, {"monday": 9, "tuesday": 6})


def test_auto_takes_neither_strays_nor_folders_of_single_files_for_groups(tmp_path: Path) -> None:
    strays = [*(origin(f"a/{n}.png") for n in range(20)), *(origin(f"b/{n}.png") for n in range(4))]
    assert grouped(tmp_path / "strays", strays, GroupBy.AUTO).by is GroupBy.NONE
    single = [origin(f"{n}/x.png") for n in range(20)]
    assert grouped(tmp_path / "single", single, GroupBy.AUTO).by is GroupBy.NONE


def test_files_that_lie_in_the_imported_folder_itself_are_grouped_by_it(tmp_path: Path) -> None:
    origins = [origin(f"{n}.png", folder=f"day{n % 2}/good") for n in range(12)]
    found = grouped(tmp_path, origins, GroupBy.FOLDER)
    assert sorted(found.sizes.values()) == [6, 6]
    assert all(label.startswith(("day0-good-", "day1-good-")) for label in found.sizes)


def test_samples_without_a_time_are_a_group_of_their_own_if_sessions_are_asked_for(tmp_path: Path) -> None:
    origins = [*captured(every_minute(MORNING, 6)), origin("a.png"), origin("b.png")]
    assert grouped(tmp_path, origins, GroupBy.SESSION).sizes == {"20261123T080000": 6, "undated": 2}


def test_collected_frames_of_before_are_dated_by_their_acceptance(tmp_path: Path) -> None:
    frames = [
        Origin(position=Position("images", 0, number), accepted_by="ada", accepted_at=time)
        for number, time in enumerate([*every_minute(MORNING, 6), *every_minute(EVENING, 6)])
    ]
    assert len(grouped(tmp_path, frames, GroupBy.SESSION).sizes) == 2
    assert grouped(tmp_path, frames, GroupBy.FOLDER).sizes == {"collected": 12}


def test_none_groups_nothing(tmp_path: Path) -> None:
    assert grouped(tmp_path, captured(every_minute(MORNING, 6)), GroupBy.NONE).labels == {}


@pytest.mark.parametrize("by", [GroupBy.FOLDER, GroupBy.SESSION])
def test_every_sample_has_a_group(tmp_path: Path, by: GroupBy) -> None:
    found = grouped(tmp_path, [*captured(every_minute(MORNING, 3)), origin("a/b.png"), origin("c.png")], by)
    assert len(found.labels) == 5


def test_imported_files_are_grouped_by_the_times_they_had(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "in", 12)
    for number, path in enumerate(sorted(folder.iterdir())):
        time_s = (MORNING + timedelta(hours=number // 6 * 10, minutes=number)).timestamp()
        os.utime(path, (time_s, time_s))
    store = SampleStore(tmp_path / "store")
    Importer(store=store, limits=LIMITS, now=lambda: NOW, decode_threads=2).run(
        ImportFolder(LINE, Judgement.GOOD, folder).task(LIMITS), advance=no_progress
    )
    found = group_samples(store, LINE, store.ids(LINE, Judgement.GOOD), GroupBy.AUTO)
    assert found.sizes == {"20261123T080000": 6, "20261123T180600": 6}
