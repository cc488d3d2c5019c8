import io
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from PIL import ExifTags, Image

from qc_worker.domain.errors import SettingsError, TrainingError
from qc_worker.domain.feedback import Judgement
from qc_worker.domain.names import readable
from tests.support.folders import locked, open_folder
from tests.unit.trainer.factories import LIMITS, LINE, NOW, no_progress, png, write_images
from trainer.samples.folders.capture_time import exif_time
from trainer.samples.folders.import_folders import ImportFolder, dataset_tasks
from trainer.samples.folders.importing import Importer, ImportReport
from trainer.samples.store import SampleStore


def run_import(tmp_path: Path, folder: Path, *, defect: bool = False, masks: Path | None = None) -> ImportReport:
    judgement = Judgement.DEFECT if defect else Judgement.GOOD
    return importer(tmp_path).run(ImportFolder(LINE, judgement, folder, masks).task(LIMITS), advance=no_progress)


def importer(tmp_path: Path) -> Importer:
    return Importer(store=SampleStore(tmp_path / "store"), limits=LIMITS, now=lambda: NOW, decode_threads=2)


def write_mask(path: Path, *, empty: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    mask = Image.new("L", (48, 48))
    if not empty:
        mask.paste(255, (8, 16, 24, 32))
    mask.save(path)


def test_folders_are_searched_to_the_bottom_and_other_files_left_out(tmp_path: Path) -> None:
    write_images(tmp_path / "in", 2)
    write_images(tmp_path / "in" / "deep" / "deeper", 1, first_seed=5)
    write_images(tmp_path / "in" / ".hidden", 1, first_seed=9)
    (tmp_path / "in" / "notes.txt").write_text("text")
    report = run_import(tmp_path, tmp_path / "in")
    assert (report.added, report.unreadable) == (3, [])
    assert report.left_out == {"hidden": 1, "suffix .txt": 1}


def test_files_that_do_not_decode_are_listed_and_left_out(tmp_path: Path) -> None:
    write_images(tmp_path / "in", 2)
    (tmp_path / "in" / "bad.jpg").write_text("not a picture")
    (tmp_path / "in" / "cut.png").write_bytes(png(7)[:-200])
    report = run_import(tmp_path, tmp_path / "in")
    assert (report.added, report.unreadable) == (2, ["bad.jpg", "cut.png"])
    assert report.left_out == {"undecodable": 2}


def test_a_folder_of_which_nothing_decodes_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "bad.jpg").write_text("not a picture")
    with pytest.raises(TrainingError, match="none of the 1 image files"):
        run_import(tmp_path, tmp_path / "in")


def test_importing_twice_stores_once(tmp_path: Path) -> None:
    write_images(tmp_path / "in", 3)
    run_import(tmp_path, tmp_path / "in")
    again = run_import(tmp_path, tmp_path / "in")
    assert (again.added, again.known) == (0, 3)


def test_masks_of_defects_are_found_by_name(tmp_path: Path) -> None:
    write_images(tmp_path / "in" / "scratch", 2, defect=True)
    masks = tmp_path / "masks" / "scratch"
    masks.mkdir(parents=True)
    write_mask(masks / "000_mask.png")
    write_mask(masks / "009_mask.png")
    report = run_import(tmp_path, tmp_path / "in", defect=True, masks=tmp_path / "masks")
    assert (report.added, report.with_mask) == (2, 1)
    assert report.without_mask == ["scratch/001.png"]
    assert [Path(name).name for name in report.unused_masks] == ["009_mask.png"]


def test_masks_that_cannot_be_read_or_mark_nothing_are_named_and_the_images_stored(tmp_path: Path) -> None:
    write_images(tmp_path / "in", 4, defect=True)
    write_mask(tmp_path / "masks" / "000.png")
    write_mask(tmp_path / "masks" / "001.png", empty=True)
    (tmp_path / "masks" / "002.png").write_text("no picture")
    Image.new("1", (4096, 4096)).save(tmp_path / "masks" / "003.png")
    report = run_import(tmp_path, tmp_path / "in", defect=True, masks=tmp_path / "masks")
    assert (report.added, report.with_mask, report.empty_masks) == (4, 1, ["001.png"])
    assert (report.unreadable_masks, report.without_mask) == (["002.png", "003.png"], [])


def test_masks_among_the_images_are_theirs_and_no_samples(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "in", 3, defect=True)
    write_mask(folder / "000_GT.png")
    write_mask(folder / "001_GT.png", empty=True)
    report = run_import(tmp_path, folder, defect=True)
    assert (report.added, report.with_mask, report.without_mask) == (2, 1, ["002.png"])
    assert report.left_out == {"its mask marks no defect": 1, "mask of another picture": 2}


def test_images_whose_own_mask_marks_a_defect_are_not_good(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "in", 3)
    write_mask(folder / "000_label.bmp")
    write_mask(folder / "001_label.bmp", empty=True)
    report = run_import(tmp_path, folder)
    assert (report.added, report.without_mask) == (2, [])
    assert report.left_out == {"its mask marks a defect": 1, "mask of another picture": 2}


def test_a_mask_may_differ_from_its_image_in_the_suffix_alone(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "in", 2)
    for number in range(2):
        (folder / f"00{number}.png").rename(folder / f"00{number}.bmp")
        write_mask(folder / f"00{number}.png", empty=number == 0)
    report = run_import(tmp_path, folder)
    assert (report.added, report.left_out) == (1, {"its mask marks a defect": 1, "mask of another picture": 2})
    for kind in ("bmp", "tif"):  # twins of which none is a mask
        Image.open(io.BytesIO(png(9))).save(folder / f"twin.{kind}")
    assert run_import(tmp_path, folder).added == 2


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for a file that can be seen and not read")
def test_a_file_that_may_not_be_read_is_listed_like_a_corrupt_one(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "in", 2)
    (folder / "locked.png").symlink_to("/proc/self/mem")
    report = run_import(tmp_path, folder)
    assert (report.added, report.unreadable, sum(report.left_out.values())) == (2, ["locked.png"], 1)


def test_folders_that_may_not_be_entered_are_named_with_the_files() -> None:
    with open_folder() as folder:
        write_images(folder / "in", 1)
        with locked(write_images(folder / "in" / "locked", 1, first_seed=3)):
            task = ImportFolder(LINE, Judgement.GOOD, folder / "in").task(LIMITS)
        report = importer(folder).run(task, advance=no_progress)
    assert (report.added, report.unreadable) == (1, ["locked/"])
    assert report.left_out == {"folder that cannot be opened (permission denied)": 1}


def test_linked_folders_are_imported(tmp_path: Path) -> None:
    write_images(tmp_path / "elsewhere", 2)
    write_images(tmp_path / "in", 1, first_seed=9)
    (tmp_path / "in" / "linked").symlink_to(tmp_path / "elsewhere")
    assert run_import(tmp_path, tmp_path / "in").added == 3


def test_names_that_are_no_utf8_are_imported_and_told(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    write_images(folder, 1)
    (folder / "000.png").rename(folder / os.fsdecode(b"\xff.png"))
    (folder / os.fsdecode(b"\xfe.png")).write_text("no picture")
    report = run_import(tmp_path, folder)
    assert (report.added, report.unreadable) == (1, ["\\xfe.png"])
    store = SampleStore(tmp_path / "store")
    [origin] = store.card(LINE, Judgement.GOOD, store.ids(LINE, Judgement.GOOD)[0]).origins
    assert (origin.imported, origin.folder) == ("\\xff.png", f"{readable(tmp_path.name)}/caf\\xe9")


def test_a_dataset_is_imported_at_once_but_for_its_good_test_images(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    write_images(folder / "train" / "ok", 3)
    write_images(folder / "test" / "ok", 2, first_seed=10)
    write_images(folder / "test" / "ko", 2, first_seed=20, defect=True)
    write_mask(folder / "ground_truth" / "ko" / "020.png")
    good, defect = dataset_tasks(LINE, folder)
    report = importer(tmp_path).run(good, advance=no_progress)
    assert (report.added, report.left_out) == (3, {"good test image, kept for evaluate": 2})
    report = importer(tmp_path).run(defect, advance=no_progress)
    assert (report.added, report.with_mask, report.without_mask) == (2, 1, ["test/ko/021.png"])
    # The same files by their own folders are the same samples, from the same place.
    assert run_import(tmp_path, folder / "train" / "ok").known == 3
    assert run_import(tmp_path, folder / "test" / "ko", defect=True, masks=folder / "ground_truth").known == 2
    store = SampleStore(tmp_path / "store")
    for judgement in Judgement:
        assert all(len(store.card(LINE, judgement, each).origins) == 1 for each in store.ids(LINE, judgement))


def test_a_dataset_without_good_frames_to_train_on_is_refused(tmp_path: Path) -> None:
    write_images(tmp_path / "test" / "good", 1)
    write_images(tmp_path / "test" / "ko", 1, first_seed=20, defect=True)
    with pytest.raises(SettingsError, match="no folder train/good"):
        dataset_tasks(LINE, tmp_path)


def test_masks_of_other_formats_are_kept_as_png(tmp_path: Path) -> None:
    write_images(tmp_path / "in", 1, defect=True)
    (tmp_path / "masks").mkdir()
    Image.new("L", (48, 48), 1).save(tmp_path / "masks" / "000.bmp")
    assert run_import(tmp_path, tmp_path / "in", defect=True, masks=tmp_path / "masks").with_mask == 1
    (mask,) = (tmp_path / "store").rglob("*.mask.png")
    with Image.open(mask) as image:
        assert (image.format, image.getextrema()) == ("PNG", (255, 255))


def test_an_image_is_not_its_own_mask(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "in", 1, defect=True)
    assert run_import(tmp_path, folder, defect=True, masks=folder).with_mask == 0


def test_an_import_notes_folder_file_time_and_capture_time(tmp_path: Path) -> None:
    folder = tmp_path / "monday" / "good"
    folder.mkdir(parents=True)
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = "2026:11:23 08:15:00"
    Image.open(io.BytesIO(png(0))).convert("RGB").save(folder / "a.jpg", exif=exif)
    os.utime(folder / "a.jpg", (86_400, 86_400))
    run_import(tmp_path, folder)
    store = SampleStore(tmp_path / "store")
    [origin] = store.card(LINE, Judgement.GOOD, store.ids(LINE, Judgement.GOOD)[0]).origins
    assert origin.folder == "monday/good"
    assert origin.captured_at == datetime(2026, 11, 23, 8, 15, tzinfo=UTC)
    assert origin.modified_at == datetime(1970, 1, 2, tzinfo=UTC)


@pytest.mark.parametrize("text", ["0000:00:00 00:00:00", "yesterday", "    :  :     :  :  ", ""])
def test_a_capture_time_that_is_none_is_left_out(text: str) -> None:
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = text
    for kind in ("JPEG", "PNG", "WEBP", "TIFF"):
        file = io.BytesIO()
        Image.new("RGB", (40, 40)).save(file, kind, exif=exif)
        assert exif_time(file.getvalue(), LIMITS) is None
    assert exif_time(png(0), LIMITS) is None
    assert exif_time(b"not a picture", LIMITS) is None


def test_a_missing_or_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="is not a folder"):
        run_import(tmp_path, tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(SettingsError, match=r"contains no image files$"):
        run_import(tmp_path, tmp_path / "empty")
    (tmp_path / "empty" / "a.heic").touch()
    with pytest.raises(SettingsError, match=r"contains no image files \(found: suffix .heic: 1\)"):
        run_import(tmp_path, tmp_path / "empty")


def test_good_images_are_not_imported_as_defects(tmp_path: Path) -> None:
    write_images(tmp_path / "test" / "good", 1)
    with pytest.raises(SettingsError, match="folder `good`"):
        run_import(tmp_path, tmp_path / "test", defect=True)
