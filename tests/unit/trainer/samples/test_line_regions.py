"""What is stored for a line, and what a model makes of it; on the real backbone where there is one."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qc_worker.domain.errors import TrainingError
from qc_worker.domain.feedback import Judgement
from qc_worker.imaging.aspect import Aspect
from qc_worker.imaging.preprocessing import content_box
from qc_worker.simplenet.card import MAX_INPUT_SIZE
from qc_worker.simplenet.regions import NOT_JUDGED, Ignored, judged_cells
from tests.unit.simplenet.factories import an_embedding_spec
from tests.unit.trainer.factories import (
    INPUT_SIZE,
    LIMITS,
    LINE,
    filled_store,
    imported,
    no_progress,
    png,
    small_scorer,
)
from trainer.features.cache import FeatureCache
from trainer.features.extract import FrameFeatures, drawn_cells
from trainer.features.spec import feature_spec
from trainer.judging.localisation import PixelScores, localisation
from trainer.samples.line_regions import (
    FILE,
    at_input_size,
    check_aspect,
    ignored_by,
    read_ignored,
    remove_ignored,
    write_ignored,
)
from trainer.samples.reading import SampleReader
from trainer.samples.store import SampleStore

Pixels = npt.NDArray[np.bool_]


def left_half(height: int = 48, width: int = 48) -> Pixels:
    ignored = np.zeros((height, width), dtype=bool)
    ignored[:, : width // 2] = True
    return ignored


def test_a_line_without_regions_has_none(tmp_path: Path) -> None:
    assert read_ignored(tmp_path, LINE, LIMITS) is None
    remove_ignored(tmp_path, LINE)


def test_regions_replace_each_other_and_go_when_cleared(tmp_path: Path) -> None:
    for ignored in (left_half(), left_half(30, 60)):
        write_ignored(tmp_path, LINE, ignored)
        found = read_ignored(tmp_path, LINE, LIMITS)
        assert found is not None
        assert np.array_equal(found, ignored)
    remove_ignored(tmp_path, LINE)
    assert read_ignored(tmp_path, LINE, LIMITS) is None


def test_to_ignore_nothing_is_to_have_no_regions(tmp_path: Path) -> None:
    write_ignored(tmp_path, LINE, left_half())
    write_ignored(tmp_path, LINE, np.zeros((9, 9), dtype=bool))
    assert read_ignored(tmp_path, LINE, LIMITS) is None


def test_to_ignore_everything_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    write_ignored(tmp_path, LINE, left_half())
    with pytest.raises(TrainingError, match="nothing would be left"):
        write_ignored(tmp_path, LINE, np.ones((9, 9), dtype=bool))
    assert read_ignored(tmp_path, LINE, LIMITS) is not None


def test_a_stored_file_that_was_spoilt_is_told_with_what_to_do(tmp_path: Path) -> None:
    write_ignored(tmp_path, LINE, left_half())
    (tmp_path / LINE / FILE).write_bytes(b"spoilt")
    with pytest.raises(TrainingError, match="set it again with qc-trainer regions --line A"):
        read_ignored(tmp_path, LINE, LIMITS)


def test_regions_alone_make_no_line(tmp_path: Path) -> None:
    write_ignored(tmp_path, LINE, left_half())
    assert SampleStore(tmp_path).lines() == []


@given(height=st.integers(10, 4000), width=st.integers(10, 4000), shrunk=st.integers(1, 20))
def test_a_smaller_drawing_of_the_same_picture_fits(height: int, width: int, shrunk: int) -> None:
    drawn = (max(1, round(height / shrunk)), max(1, round(width / shrunk)))
    if abs(drawn[0] * width / height - drawn[1]) <= 1:  # a few pixels can have any ratio
        check_aspect(np.empty(drawn, dtype=bool), (height, width))


@pytest.mark.parametrize("drawn", [(480, 600), (640, 480), (100, 100)])
def test_a_drawing_of_another_shape_is_refused(drawn: tuple[int, int]) -> None:
    with pytest.raises(TrainingError, match="do not fit pictures of 480 x 640"):
        check_aspect(np.empty(drawn, dtype=bool), (480, 640))


@settings(deadline=None)
@given(rows=st.integers(32, 48), columns=st.integers(32, 48), factor=st.integers(1, 4), seed=st.integers(0, 999))
def test_a_pixel_is_ignored_if_half_of_it_or_more_is(rows: int, columns: int, factor: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    drawn = random.random((rows * factor, columns * factor)) < random.random()
    shares = drawn.reshape(rows, factor, columns, factor).mean(axis=(1, 3))
    expected = shares >= 0.5
    if not expected.all():
        placed = at_input_size(drawn, an_embedding_spec(input_size=(rows, columns)))
        assert np.array_equal(np.zeros_like(expected) if placed is None else placed, expected)


@settings(deadline=None)
@given(
    height=st.integers(20, 300),
    width=st.integers(20, 300),
    input_size=st.tuples(st.integers(32, 100), st.integers(32, 100)),
    aspect=st.sampled_from(["squash", "pad"]),
    top=st.floats(0, 0.8),
)
def test_regions_lie_where_the_picture_lies(
    height: int, width: int, input_size: tuple[int, int], aspect: Aspect, top: float
) -> None:
    drawn = np.zeros((height, width), dtype=bool)
    drawn[round(top * height) :] = True
    if drawn.all():
        return
    spec = an_embedding_spec(input_size=input_size, aspect=aspect)
    box = content_box((height, width), input_size, aspect)
    try:
        placed = at_input_size(drawn, spec)
    except TrainingError:
        assert box.height * round(top * height) < height  # less than a pixel would be left
        return
    assert placed is not None
    rows, columns = np.nonzero(placed)
    assert placed.shape == input_size
    assert (columns.min(), columns.max() + 1) == (box.left, box.left + box.width)
    assert rows.max() + 1 == box.top + box.height
    assert abs(rows.min() - box.top - box.height * round(top * height) / height) <= 1


def test_regions_that_leave_less_than_a_pixel_are_refused() -> None:
    drawn = np.ones((1000, 1000), dtype=bool)
    drawn[0, 0] = False
    with pytest.raises(TrainingError, match="nothing to judge"):
        at_input_size(drawn, an_embedding_spec())


def test_regions_thinner_than_a_pixel_are_none() -> None:
    drawn = np.zeros((1000, 1000), dtype=bool)
    drawn[500, :] = True
    assert at_input_size(drawn, an_embedding_spec()) is None


def test_dust_is_no_region() -> None:
    dust = np.random.default_rng(0).random((MAX_INPUT_SIZE, MAX_INPUT_SIZE)) < 0.5
    with pytest.raises(TrainingError, match="too detailed"):
        at_input_size(dust, an_embedding_spec(input_size=dust.shape))


def test_a_retrain_refuses_regions_of_another_shape_than_its_samples(tmp_path: Path) -> None:
    store = filled_store(tmp_path, good=1)
    write_ignored(store.folder, LINE, left_half(48, 96))
    with pytest.raises(TrainingError, match="do not fit pictures of 48 x 48"):
        ignored_by(store, LINE, an_embedding_spec(), LIMITS)
    write_ignored(store.folder, LINE, left_half())
    ignored = ignored_by(store, LINE, an_embedding_spec(), LIMITS)
    assert ignored is not None
    assert np.array_equal(ignored, left_half(64, 64))


def features(tmp_path: Path, ignored: Ignored | None, *, per_frame: int = 64) -> FrameFeatures:
    scorer = small_scorer(tmp_path)
    reader = SampleReader(SampleStore(tmp_path / "samples"), LINE, scorer.spec, LIMITS, decode_threads=2)
    spec = feature_spec(scorer, patches_per_frame=per_frame, ignored=ignored)
    return FrameFeatures(scorer, reader, FeatureCache(tmp_path / "features", 1 << 30).shelf(spec), per_frame, ignored)


def test_only_cells_that_are_judged_give_features_and_regions_share_none(tmp_path: Path) -> None:
    (sample,) = filled_store(tmp_path / "samples", good=1).ids(LINE, Judgement.GOOD)
    ignored = left_half(INPUT_SIZE, INPUT_SIZE)
    for ignore, rows in ((None, 64), (ignored, 32), (None, 64)):
        (found,), counts = features(tmp_path, ignore).of_samples([sample], advance=no_progress)
        assert len(found) == rows
    assert counts.cached == 1  # those of before are still good


def test_what_is_drawn_into_the_ignored_area_of_a_sample_has_no_influence_on_its_features(tmp_path: Path) -> None:
    """The blot of `png` ends left of the middle; resizing takes it one pixel of the input further."""
    store = SampleStore(tmp_path / "samples")
    for content in (png(1), png(1, defect=True)):
        store.add(LINE, Judgement.GOOD, content, origin=imported())
    ignored = left_half(INPUT_SIZE, INPUT_SIZE)
    ignored[:, INPUT_SIZE // 2] = True
    frames = features(tmp_path, ignored)
    (one, other), _ = frames.of_samples(store.ids(LINE, Judgement.GOOD), advance=no_progress)
    assert torch.equal(one, other)


@given(seed=st.integers(0, 2**32), n_kept=st.integers(1, 80), share=st.floats(0.05, 1))
def test_cells_are_drawn_among_those_that_are_judged(seed: int, n_kept: int, share: float) -> None:
    judged = torch.rand(64, generator=torch.Generator().manual_seed(seed)) < share
    cells = drawn_cells(f"{seed:064x}", 64, n_kept, judged=judged)
    assert judged[cells].all()
    assert len(cells) == min(n_kept, int(judged.sum()))
    assert torch.equal(
        drawn_cells(f"{seed:064x}", 64, n_kept, judged=torch.ones(64, dtype=torch.bool)),
        drawn_cells(f"{seed:064x}", 64, n_kept),
    )


def test_the_grid_of_the_judged_cells_is_that_of_the_features(tmp_path: Path) -> None:
    assert len(judged_cells(left_half(INPUT_SIZE, INPUT_SIZE), small_scorer(tmp_path).spec.grid)) == 64


def test_pixels_that_are_not_judged_count_for_no_pixel_metric() -> None:
    random = np.random.default_rng(0)
    anomaly_map, truth = random.random((20, 20), dtype=np.float32), np.zeros((20, 20), dtype=bool)
    truth[5:9, 2:16] = True
    whole, half = PixelScores(), PixelScores()
    half.add(np.where(np.arange(20) < 10, NOT_JUDGED, anomaly_map).astype(np.float32), truth)
    whole.add(anomaly_map[:, 10:], truth[:, 10:])
    for scores in (whole, half):
        scores.finish()
    assert localisation([half]) == localisation([whole])
