import io
from pathlib import Path

import pytest
from PIL import ExifTags, Image

from qc_worker.domain.errors import TrainingError
from qc_worker.domain.feedback import Judgement
from tests.unit.trainer.factories import LIMITS, LINE, imported
from trainer.samples.frame_sizes import FrameSizes, read_frame_sizes
from trainer.samples.store import SampleStore


def jpeg(width: int, height: int, *, orientation: int = 1) -> bytes:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    file = io.BytesIO()
    Image.new("L", (width, height), 90).save(file, "JPEG", exif=exif)
    return file.getvalue()


def test_the_typical_frame_has_the_median_height_and_the_median_width() -> None:
    frames = FrameSizes(((10, 50), (20, 40), (30, 90), (40, 60)))
    assert frames.typical == (20, 50)
    assert str(frames) == "frames of 20 x 50 px (median of 4 sizes)"
    assert str(FrameSizes(((20, 50),) * 3)) == "frames of 20 x 50 px"


def test_sizes_are_those_of_upright_pictures_and_defects_have_no_say(tmp_path: Path) -> None:
    store = SampleStore(tmp_path)
    for content in (jpeg(30, 20), jpeg(40, 10, orientation=6), jpeg(40, 12, orientation=3)):
        store.add(LINE, Judgement.GOOD, content, origin=imported())
    store.add(LINE, Judgement.DEFECT, jpeg(500, 500), origin=imported())
    frames = read_frame_sizes(store, LINE, limits=LIMITS, decode_threads=2)
    assert sorted(frames.sizes) == [(12, 40), (20, 30), (40, 10)]


def test_only_the_header_is_read(tmp_path: Path) -> None:
    store = SampleStore(tmp_path)
    file = io.BytesIO()
    Image.effect_noise((90, 60), 50).save(file, "PNG")
    store.add(LINE, Judgement.GOOD, file.getvalue()[:200], origin=imported())
    assert read_frame_sizes(store, LINE, limits=LIMITS, decode_threads=1).sizes == ((60, 90),)


def test_a_sample_that_is_no_picture_is_named(tmp_path: Path) -> None:
    store = SampleStore(tmp_path)
    store.add(LINE, Judgement.GOOD, b"nothing", origin=imported())
    with pytest.raises(TrainingError, match="of line A: not an image of a known format"):
        read_frame_sizes(store, LINE, limits=LIMITS, decode_threads=1)
