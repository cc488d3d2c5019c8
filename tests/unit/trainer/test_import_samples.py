import io
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from PIL import ExifTags, Image

from qc_worker.domain.errors import SettingsError, TrainingError
from qc_worker.domain.release import Judgement
from tests.unit.trainer.factories import LIMITS, LINE, NOW, no_progress, png, write_images
from trainer.capture_time import exif_time
from trainer.import_samples import Importer, ImportFolder, ImportReport
from trainer.samples import SampleStore


def run_import(tmp_path: Path, folder: Path, *, defect: bool = False, masks: Path | None = None) -> ImportReport:
    importer = Importer(store=SampleStore(tmp_path / "store"), limits=LIMITS, now=lambda: NOW, decode_threads=2)
    judgement = Judgement.DEFECT if defect else Judgement.GOOD
    return importer.run(ImportFolder(LINE, judgement, folder, masks), advance=no_progress)


def test_folders_are_searched_to_the_bottom_and_other_files_left_out(tmp_path: Path) -> None:
    write_images(tmp_path / "in", 2)
    write_images(tmp_path / "in" / "deep" / "deeper", 1, first_seed=5)
    write_images(tmp_path / "in" / ".hidden", 1, first_seed=9)
    (tmp_path / "in" / "notes.txt").write_text("text")
    report = run_import(tmp_path, tmp_path / "in")
    assert (report.added, report.unreadable) == (3, [])


def test_files_that_do_not_decode_are_listed_and_left_out(tmp_path: Path) -> None:
    write_images(tmp_path / "in", 2)
    (tmp_path / "in" / "bad.jpg").write_text("not a picture")
    (tmp_path / "in" / "cut.png").write_bytes(png(7)[:-200])
    report = run_import(tmp_path, tmp_path / "in")
    assert (report.added, report.unreadable) == (2, ["bad.jpg", "cut.png"])


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
    (masks / "000_mask.png").write_bytes(png(50))
    report = run_import(tmp_path, tmp_path / "in", defect=True, masks=tmp_path / "masks")
    assert (report.added, report.with_mask) == (2, 1)


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
    with pytest.raises(SettingsError, match="holds no image files"):
        run_import(tmp_path, tmp_path / "empty")


def test_good_images_are_not_imported_as_defects(tmp_path: Path) -> None:
    write_images(tmp_path / "test" / "good", 1)
    with pytest.raises(SettingsError, match="folder `good`"):
        run_import(tmp_path, tmp_path / "test", defect=True)
