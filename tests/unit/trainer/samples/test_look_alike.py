import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image
from structlog.testing import capture_logs

from qc_worker.domain.errors import TrainingError
from qc_worker.domain.feedback import Judgement
from tests.support.factories import embedding_spec
from tests.unit.trainer.factories import LIMITS, LINE, imported, no_progress, png
from trainer.samples.look_alike import LookAlike, count_look_alikes, look_alike
from trainer.samples.reading import SampleReader
from trainer.samples.store import SampleStore


def compare(tmp_path: Path, contents: list[bytes], *, min_different: int = 0) -> LookAlike:
    store = SampleStore(tmp_path)
    for number, content in enumerate(contents):
        store.add(LINE, Judgement.GOOD, content, origin=imported(f"{number}.png"))
    reader = SampleReader(store, LINE, embedding_spec(), LIMITS, decode_threads=2)
    samples = store.ids(LINE, Judgement.GOOD)
    return look_alike(reader, samples, min_different=min_different, advance=no_progress)


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def black(comment: int) -> bytes:
    return png_with(np.zeros((48, 48), np.uint8), comment)


def png_with(pixels: np.ndarray[tuple[int, int], np.dtype[np.uint8]], compression: int) -> bytes:
    return encoded(Image.fromarray(pixels), compress_level=compression)


def test_different_parts_do_not_look_alike(tmp_path: Path) -> None:
    found = compare(tmp_path, [png(seed) for seed in range(12)])
    assert found == LookAlike(compared=12, pictures=12, clusters=0, largest=0)


def test_the_same_picture_encoded_again_looks_alike(tmp_path: Path) -> None:
    again = encoded(Image.open(io.BytesIO(png(0))), "JPEG", quality=95)
    found = compare(tmp_path, [*(png(seed) for seed in range(6)), again])
    assert found == LookAlike(compared=7, pictures=6, clusters=1, largest=2)
    assert found.superfluous == 1


def test_pictures_without_any_difference_are_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"all 3 good samples of line A .*grey level 0 of 255.*import frames"):
        compare(tmp_path, [black(level) for level in (0, 1, 6)])


def test_one_picture_with_other_metadata_is_refused_and_its_files_named(tmp_path: Path) -> None:
    picture = Image.open(io.BytesIO(png(0)))
    contents = [encoded(picture, compress_level=level) for level in (1, 6)]
    contents += [encoded(picture, kind) for kind in ("BMP", "TIFF", "TGA")]
    exif = Image.Exif()
    exif[ExifTags.Base.ImageDescription] = "another part"
    contents += [encoded(picture, exif=exif)]
    with pytest.raises(TrainingError, match=r"all 6 good samples of line A show the same.*[0-5]\.png, .* and 1 more"):
        compare(tmp_path, contents)


def test_samples_of_one_colour_each_are_refused_and_their_files_named(tmp_path: Path) -> None:
    colours = [(0, 0, 0), (90, 90, 90), (0, 0, 255)]
    contents = [encoded(Image.new("RGB", (48, 48), colour)) for colour in colours]
    with pytest.raises(TrainingError, match=r"all 3 good samples of line A have only one colour each \([0-2]\.png, "):
        compare(tmp_path, contents)


def test_some_samples_of_one_colour_are_counted_and_named(tmp_path: Path) -> None:
    blank = encoded(Image.new("RGB", (48, 48), (9, 9, 9)))
    with capture_logs() as logs:
        found = compare(tmp_path, [*(png(seed) for seed in range(5)), blank])
    assert (found.one_colour, found.copies, found.pictures) == (1, 0, 6)
    [entry] = logs
    assert (entry["samples"], entry["such_as"]) == (1, "5.png")


def test_too_few_pictures_that_differ_are_refused_with_the_copies(tmp_path: Path) -> None:
    again = encoded(Image.open(io.BytesIO(png(1))), "BMP")
    contents = [*(png(seed) for seed in range(4)), again]
    with pytest.raises(TrainingError, match=r"5 good samples of line A show 4 different.*[14]\.png\).*at least 5"):
        compare(tmp_path / "few", contents, min_different=5)
    assert compare(tmp_path / "enough", contents, min_different=4).different == 4


def test_pictures_are_told_apart_by_what_a_thumbnail_does_not_show(tmp_path: Path) -> None:
    """A checkerboard of single pixels is grey in a thumbnail, whatever its contrast."""
    rows, columns = np.indices(embedding_spec().input_size)
    board = np.where((rows + columns) % 2, 1, -1)
    contents = [encoded(Image.fromarray((128 + contrast * board).astype(np.uint8))) for contrast in range(10, 16)]
    found = compare(tmp_path, contents)
    assert (found.copies, found.one_colour, found.different) == (0, 0, 6)


def test_pictures_that_differ_in_colour_alone_do_not_look_alike(tmp_path: Path) -> None:
    grey = np.asarray(Image.open(io.BytesIO(png(0)))) // 2
    parts = [np.roll(np.stack([grey + 60, grey, grey], axis=-1), shift, axis=-1) for shift in range(3)]
    found = compare(tmp_path, [encoded(Image.fromarray(part)) for part in parts])
    assert found == LookAlike(compared=3, pictures=3, clusters=0, largest=0)


@pytest.mark.parametrize("copies", [0, 1])
def test_nearly_alike_samples_are_counted_in_a_warning(tmp_path: Path, copies: int) -> None:
    again = [encoded(Image.open(io.BytesIO(png(0))), "JPEG", quality=95)] * copies
    with capture_logs() as logs:
        compare(tmp_path, [*(png(seed) for seed in range(30)), *again])
    assert [(entry["compared"], entry["different_pictures"]) for entry in logs] == [(31, 30)] * copies


def test_some_black_frames_among_others_are_one_cluster(tmp_path: Path) -> None:
    found = compare(tmp_path, [black(0), black(1), black(6), *(png(seed) for seed in range(5))])
    assert (found.pictures, found.clusters, found.largest) == (6, 1, 3)


@settings(deadline=None)
@given(copies=st.lists(st.integers(1, 4), min_size=1, max_size=8), seed=st.integers(0, 99))
def test_copies_are_counted_as_one_picture(copies: list[int], seed: int) -> None:
    random = np.random.default_rng(seed)
    pictures = random.uniform(0, 255, (len(copies), 64)).repeat(copies, axis=0)
    rows = random.permutation(pictures + random.normal(0, 0.1, pictures.shape)).astype(np.float32)
    found = count_look_alikes(rows)
    assert (found.compared, found.pictures) == (sum(copies), len(copies))
    assert found.clusters == sum(count > 1 for count in copies)
    assert found.largest == (max(copies) if max(copies) > 1 else 0)
