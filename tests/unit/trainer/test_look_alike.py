import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from qc_worker.domain.errors import TrainingError
from qc_worker.domain.release import Judgement
from tests.factories import embedding_spec
from tests.unit.trainer.factories import LIMITS, LINE, imported, no_progress, png
from trainer.look_alike import LookAlike, count_look_alikes, look_alike
from trainer.pictures import SampleReader
from trainer.samples import SampleStore


def compare(tmp_path: Path, contents: list[bytes]) -> LookAlike:
    store = SampleStore(tmp_path)
    for number, content in enumerate(contents):
        store.add(LINE, Judgement.GOOD, content, origin=imported(f"{number}.png"))
    reader = SampleReader(store, LINE, embedding_spec(), LIMITS, decode_threads=2)
    return look_alike(reader, store.ids(LINE, Judgement.GOOD), advance=no_progress)


def encoded(image: Image.Image, kind: str = "PNG", **options: int) -> bytes:
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
