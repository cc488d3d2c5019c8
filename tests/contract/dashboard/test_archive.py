"""The archive: on SQLite and PostgreSQL, in a folder and in fsspec's memory."""

from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from threading import Thread
from uuid import uuid4

import fsspec
import pytest

from qc_dashboard.archive.archive import ArchiveBusy, Total
from qc_dashboard.archive.blobs import ArchiveAway, BlobStore, digest
from qc_dashboard.archive.retention import GRACE
from qc_dashboard.database.database import Database
from qc_worker.domain.errors import SettingsError
from qc_worker.domain.frame import Position
from qc_worker.domain.inspection import Verdict
from tests.support.archives import DAYS, POLICY, RESULTS, Crash, Plant, Steps, found, us
from tests.support.factories import NOON

DAY_US = timedelta(days=1) // timedelta(microseconds=1)
LATER_US = us(NOON) + 2 * (GRACE // timedelta(microseconds=1))


@pytest.fixture(params=["folder", "memory"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "archive") if request.param == "folder" else f"memory://{uuid4().hex}"


@pytest.fixture
def plant(database: Database, url: str) -> Plant:
    return Plant(database, url)


def test_evidence_is_found_by_its_source_and_its_bytes_by_their_digest(plant: Plant) -> None:
    one = found(7)
    plant.keep(one)
    evidence = plant.archive.evidence(one.source)
    assert evidence is not None
    assert (evidence.verdict, evidence.frame_sha256) == (Verdict.REJECT, digest(one.frame))
    read = [plant.archive.read(str(sha256)) for sha256 in (evidence.frame_sha256, evidence.heatmap_sha256)]
    assert read == [one.frame, one.heatmap_png]
    assert plant.archive.evidence(Position("images", 0, 8)) is None


def test_files_lie_in_two_levels_of_folders(plant: Plant) -> None:
    one = found(7)
    plant.keep(one)
    sha256 = digest(one.frame)
    file_system, root = fsspec.core.url_to_fs(plant.url)
    assert file_system.cat_file(f"{root}/{sha256[:2]}/{sha256[2:4]}/{sha256}") == one.frame


def test_frame_without_pictures_is_evidence_too(plant: Plant) -> None:
    plant.keep(replace(found(1, Verdict.ERROR), heatmap_png=None, thumbnail_jpeg=None))
    evidence = plant.archive.evidence(Position("images", 0, 1))
    assert evidence is not None
    assert (evidence.heatmap_sha256, evidence.thumbnail_sha256) == (None, None)


def test_equal_bytes_are_stored_once(plant: Plant) -> None:
    plant.keep(found(1), found(2))
    assert len(plant.files()) == 5  # two frames, two heatmaps, one thumbnail


def test_evidence_of_many_sources_is_found_at_once(plant: Plant) -> None:
    plant.keep(found(1), found(2))
    wanted = [Position("images", 0, offset) for offset in range(3)]
    assert set(plant.archive.evidence_of(wanted)) == set(wanted[1:])
    assert plant.archive.evidence_of([]) == {}


def test_totals_count_frames_and_bytes_by_verdict(plant: Plant) -> None:
    plant.keep(found(1), found(2), found(3, Verdict.PASS))
    assert plant.archive.totals() == {Verdict.REJECT: Total(2, 418), Verdict.PASS: Total(1, 209)}


def test_place_moves_with_the_evidence_and_nobody_archives_from_an_old_one(plant: Plant) -> None:
    plant.keep(found(1), end=4)
    assert plant.archive.places("results") == {RESULTS: 4}
    with pytest.raises(ArchiveBusy):
        plant.keep(found(2), start=0, end=9)
    assert plant.archive.evidence(Position("images", 0, 2)) is None
    assert plant.archive.places("results") == {RESULTS: 4}


def test_file_that_was_changed_is_not_given_out(plant: Plant) -> None:
    one = found(1)
    plant.keep(one)
    sha256 = digest(one.frame)
    file_system, root = fsspec.core.url_to_fs(plant.url)
    file_system.pipe_file(f"{root}/{sha256[:2]}/{sha256[2:4]}/{sha256}", b"another picture")
    assert plant.archive.read(sha256) is None


def test_evidence_goes_after_the_days_of_its_verdict(plant: Plant) -> None:
    kept = [found(offset, verdict) for offset, verdict in enumerate(Verdict)]
    plant.keep(*kept)
    for days in sorted(set(DAYS.values())):
        plant.retention.run(days * DAY_US)
        assert set(plant.archive.totals()) == {verdict for verdict in Verdict if DAYS[verdict] >= days}
        plant.retention.run(days * DAY_US + 1)
        assert set(plant.archive.totals()) == {verdict for verdict in Verdict if DAYS[verdict] > days}


def test_blobs_go_when_no_evidence_needs_them_and_no_sooner(plant: Plant) -> None:
    now_us = LATER_US
    shared = found(1, Verdict.PASS, judged_us=now_us - 31 * DAY_US)
    plant.keep(shared, replace(found(2, judged_us=now_us), frame=shared.frame))
    plant.retention.run(now_us)
    assert plant.files() == plant.needed() == plant.known()
    assert digest(shared.frame) in plant.files()
    assert digest(shared.heatmap_png or b"") not in plant.files()
    plant.check_whole()


def test_blob_that_was_claimed_now_is_left_for_its_evidence(plant: Plant) -> None:
    old = found(1, Verdict.PASS, judged_us=us(NOON) - 31 * DAY_US)
    plant.keep(old)
    plant.retention.run(us(NOON))
    assert plant.archive.totals() == {}
    assert digest(old.frame) in plant.files()
    plant.retention.run(LATER_US)
    assert plant.files() == set()


@pytest.mark.parametrize(("max_bytes", "left"), [(1000, [0, 1, 2, 3]), (808, [0, 1, 3]), (420, [0, 3]), (0, [])])
def test_the_oldest_passes_go_first_if_there_is_too_much(
    database: Database, url: str, max_bytes: int, left: list[int]
) -> None:
    plant = Plant(database, url, policy=replace(POLICY, max_bytes=max_bytes))
    verdicts = (Verdict.REJECT, Verdict.PASS, Verdict.PASS, Verdict.REVIEW)
    for offset, (verdict, age) in enumerate(zip(verdicts, (9, 1, 2, 8), strict=True)):
        plant.keep(found(offset, verdict, judged_us=LATER_US - age), start=offset, end=offset + 1)
    plant.retention.run(LATER_US)
    wanted = [Position("images", 0, offset) for offset in range(4)]
    assert [source.offset for source in sorted(plant.archive.evidence_of(wanted))] == left
    assert plant.retention.size_bytes() <= max_bytes
    assert plant.files() == plant.needed()


def test_crash_at_any_step_of_keeping_leaves_nothing_that_refers_to_missing_bytes(database: Database, url: str) -> None:
    steps = Steps()
    Plant(database, url, steps=steps).keep(found(0), end=1)
    for last in range(1, steps.passed + 1):
        offset = last * 10
        kept = (found(offset), found(offset + 1))
        with suppress(Crash):
            Plant(database, url, steps=Steps(last)).keep(*kept, start=last - 1 or 1, end=last + 1 if last > 1 else 2)
        plant = Plant(database, url)
        plant.check_whole()
        place = plant.archive.places("results")[RESULTS]
        if place <= last:
            plant.keep(*kept, start=place, end=last + 1)
        assert set(plant.archive.evidence_of([one.source for one in kept])) == {one.source for one in kept}
        plant.check_whole()
    plant.retention.run(LATER_US)
    assert plant.files() == plant.needed() == plant.known()


def test_crash_at_any_step_of_removing_leaves_nothing_that_refers_to_missing_bytes(
    database: Database, url: str
) -> None:
    place, last, crashed = 0, 0, True
    while crashed:
        last += 1
        plant = Plant(database, url)
        gone = found(0, Verdict.PASS, judged_us=LATER_US - 31 * DAY_US)
        plant.keep(gone, found(1, judged_us=LATER_US), start=place, end=place + 1)
        place += 1
        crashed = False
        try:
            Plant(database, url, steps=Steps(last)).retention.run(LATER_US)
        except Crash:
            crashed = True
        plant.check_whole()
        plant.retention.run(LATER_US)
        plant.check_whole()
        assert plant.files() == plant.needed() == plant.known()
    assert last > 9


def test_blob_that_is_being_removed_is_not_referred_to(database: Database, url: str) -> None:
    gone = found(0, Verdict.PASS, judged_us=LATER_US - 31 * DAY_US)
    Plant(database, url).keep(gone)
    for last in range(1, 30):
        with suppress(Crash):
            Plant(database, url, steps=Steps(last)).retention.run(LATER_US)
        plant = Plant(database, url)
        with suppress(ArchiveBusy):
            plant.keep(gone, start=plant.archive.places("results")[RESULTS], end=100 + last)
        plant.check_whole()


def test_archiving_and_removing_at_once_never_lose_what_is_referred_to(database: Database, url: str) -> None:
    again = Plant(database, url, policy=replace(POLICY, max_bytes=0))
    failed: list[BaseException] = []

    def remove() -> None:
        try:
            for _ in range(30):
                again.retention.run(LATER_US)
        except BaseException as error:  # noqa: BLE001  (the test tells which)
            failed.append(error)

    plant = Plant(database, url)
    remover = Thread(target=remove)
    remover.start()
    place = 0
    while remover.is_alive():
        with suppress(ArchiveBusy):
            plant.keep(found(place % 3), start=place, end=place + 1)
            place += 1
    remover.join()
    assert failed == []
    plant.check_whole()


def test_file_system_that_fails_is_an_error_to_retry_and_stores_no_row(database: Database, tmp_path: Path) -> None:
    (tmp_path / "archive").write_bytes(b"a file where the folder should be")
    plant = Plant(database, str(tmp_path / "archive"))
    with pytest.raises(ArchiveAway):
        plant.keep(found(1))
    assert (plant.needed(), plant.archive.places("results")) == (set(), {})


def test_file_of_a_process_that_died_while_writing_goes_when_it_is_written_again(
    database: Database, tmp_path: Path
) -> None:
    plant, one = Plant(database, str(tmp_path)), found(1)
    sha256 = digest(one.frame)
    folder = tmp_path / sha256[:2] / sha256[2:4]
    folder.mkdir(parents=True)
    (folder / f".{sha256}.0123.partial").write_bytes(one.frame[:9])
    (folder / sha256).write_bytes(one.frame[:9])
    plant.keep(one)
    assert [path.name for path in folder.iterdir()] == [sha256]
    plant.check_whole()


def test_url_that_nothing_serves_is_refused_without_its_password() -> None:
    with pytest.raises(SettingsError) as refused:
        BlobStore("nowhere://user:secret@host/archive")
    assert "secret" not in str(refused.value)
