"""On a real network with random weights."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from qc_worker.domain.calibration import Calibration
from qc_worker.domain.inspection import Verdict
from qc_worker.imaging.defects import published_defects
from qc_worker.imaging.preprocessing import content_box
from qc_worker.imaging.run_lengths import decode_mask
from qc_worker.simplenet.anomaly_map import anomaly_maps, image_scores
from qc_worker.simplenet.backbones.backbone import load_backbone
from qc_worker.simplenet.inference.scorer import Scorer
from qc_worker.simplenet.regions import NOT_JUDGED, Ignored, ignored_area, judged_cells, judged_maps
from tests.unit.simplenet.factories import a_head, an_embedding_spec, random_weights

CPU = torch.device("cpu")
HEIGHT, WIDTH = 64, 96


@pytest.fixture(scope="module")
def scorer(tmp_path_factory: pytest.TempPathFactory) -> Scorer:
    weights = random_weights(tmp_path_factory.mktemp("weights"))
    backbone = load_backbone("efficientnet_lite0", levels=(8, 16), weights_dir=Path(), file=weights)
    spec = an_embedding_spec(weights_sha256=backbone.weights_sha256, input_size=(HEIGHT, WIDTH))
    return Scorer(backbone, spec, CPU)


def some_pixels(count: int, seed: int = 1) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, HEIGHT, WIDTH), dtype=torch.uint8, generator=random)


def a_rectangle(top: int, left: int, bottom: int, right: int) -> Ignored:
    ignored = np.zeros((HEIGHT, WIDTH), dtype=bool)
    ignored[top:bottom, left:right] = True
    return ignored


@st.composite
def rectangles(draw: st.DrawFn) -> Ignored:
    """Any rectangle but all of the picture."""
    top, bottom = sorted(draw(st.lists(st.integers(0, HEIGHT), min_size=2, max_size=2, unique=True)))
    left, right = sorted(draw(st.lists(st.integers(0, WIDTH - 1), min_size=2, max_size=2, unique=True)))
    return a_rectangle(top, left, bottom, right)


@settings(deadline=None, max_examples=25)
@given(ignored=rectangles(), seed=st.integers(0, 999))
def test_nothing_in_the_ignored_area_changes_score_or_map(scorer: Scorer, ignored: Ignored, seed: int) -> None:
    head = scorer.take_in(a_head(scorer.level_channels, 8, cells=(8, 12)), ignored)
    pixels = some_pixels(1)
    painted = torch.where(torch.from_numpy(ignored), some_pixels(1, seed), pixels)
    before, after = scorer.score(pixels, [head]), scorer.score(painted, [head])
    assert torch.equal(before.scores, after.scores)
    assert torch.equal(before.maps, after.maps)


@settings(deadline=None, max_examples=25)
@given(ignored=rectangles(), seed=st.integers(0, 999))
def test_neither_score_nor_mask_comes_from_the_ignored_area(scorer: Scorer, ignored: Ignored, seed: int) -> None:
    head = scorer.take_in(a_head(scorer.level_channels, 8, seed=seed), ignored)
    scored = scorer.score(some_pixels(2, seed), [head] * 2)
    for index, score in enumerate(scored.scores.tolist()):
        anomaly_map = scored.map_of(index)
        assert np.array_equal(anomaly_map == NOT_JUDGED, ignored)
        assert np.isfinite(score)
        calibration = Calibration(scores=(score - 1, score - 0.5), max_false_reject=0.4)
        shown, peak = published_defects(
            anomaly_map, anomaly_map, Verdict.REJECT, calibration, image_size=(HEIGHT, WIDTH), aspect="squash"
        )
        assert shown
        assert peak is not None
        assert not (decode_mask(peak) & ignored).any()


@settings(deadline=None, max_examples=50)
@given(ignored=rectangles(), height=st.integers(1, 20), width=st.integers(1, 20))
def test_cells_that_score_alike_make_an_even_map_up_to_the_border(ignored: Ignored, height: int, width: int) -> None:
    """So what lies beside the ignored area is neither more nor less suspicious than what lies far from it."""
    area = ignored_area(ignored, (height, width), CPU)
    judged = judged_cells(ignored, (height, width)).view(1, height, width)
    scores = torch.where(judged, 3.0, float("nan"))
    (anomaly_map,) = judged_maps(scores, (HEIGHT, WIDTH), [area])
    expected = torch.where(torch.from_numpy(ignored), NOT_JUDGED, 3.0)
    torch.testing.assert_close(anomaly_map, expected, rtol=1e-4, atol=1e-4)


@settings(deadline=None, max_examples=50)
@given(ignored=rectangles(), height=st.sampled_from([4, 8, 16]), width=st.sampled_from([4, 8, 16]))
def test_a_cell_is_judged_if_any_of_its_pixels_is(ignored: Ignored, height: int, width: int) -> None:
    blocks = ignored.reshape(height, HEIGHT // height, width, WIDTH // width)
    assert np.array_equal(judged_cells(ignored, (height, width)), ~blocks.all(axis=(1, 3)).ravel())


def test_frames_of_lines_with_and_without_an_ignored_area_share_a_batch(scorer: Scorer) -> None:
    plain = scorer.take_in(a_head(scorer.level_channels, 8, seed=1))
    left = scorer.take_in(a_head(scorer.level_channels, 8, seed=1), a_rectangle(0, 0, HEIGHT, 40))
    top = scorer.take_in(a_head(scorer.level_channels, 8, seed=2), a_rectangle(0, 0, 16, WIDTH))
    pixels, heads = some_pixels(6), [plain, left, left, plain, top, left]
    kept = pixels.clone()
    together = scorer.score(pixels, heads)
    alone = [scorer.score(pixels[index : index + 1], [head]) for index, head in enumerate(heads)]
    torch.testing.assert_close(together.maps, torch.cat([one.maps for one in alone]), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(together.scores, torch.cat([one.scores for one in alone]), rtol=1e-3, atol=1e-3)
    assert torch.equal(pixels, kept)  # heatmaps show the picture as it came


def test_without_an_ignored_area_the_maps_are_what_they_were() -> None:
    scores = torch.randn(3, 8, 12, generator=torch.Generator().manual_seed(0))
    assert torch.equal(judged_maps(scores, (HEIGHT, WIDTH), [None] * 3), anomaly_maps(scores, (HEIGHT, WIDTH)))


def test_padding_and_ignored_area_are_both_left_out_of_the_score(scorer: Scorer) -> None:
    box = content_box((40, 20), (HEIGHT, WIDTH), "pad")
    ignored = a_rectangle(0, 0, HEIGHT // 2, WIDTH)
    plain = a_head(scorer.level_channels, 8)
    scored = scorer.score(some_pixels(1), [scorer.take_in(plain, ignored)], boxes=[box])
    cells = plain.patch_scores(scorer.embed(some_pixels(1), scorer.ignored_area(ignored)))
    assert (box.left, box.width) == (32, 32)
    shown = cells[:, HEIGHT // 2 // 8 :, box.left // 8 : (box.left + box.width) // 8]
    torch.testing.assert_close(scored.scores, image_scores(shown), rtol=1e-3, atol=1e-3)


def test_a_picture_that_lies_wholly_in_the_ignored_area_has_no_finite_score(scorer: Scorer) -> None:
    """Padded frames of another shape than the regions were drawn for; the worker makes them errors, never passes."""
    head = scorer.take_in(a_head(scorer.level_channels, 8), a_rectangle(16, 0, 48, WIDTH))
    box = content_box((10, 60), (HEIGHT, WIDTH), "pad")
    assert scorer.score(some_pixels(1), [head], boxes=[box]).scores.tolist() == [NOT_JUDGED]


def test_features_do_not_know_the_ignored_area(scorer: Scorer) -> None:
    ignored = a_rectangle(8, 8, 40, 60)
    painted = torch.where(torch.from_numpy(ignored), some_pixels(2, seed=9), some_pixels(2))
    area = scorer.ignored_area(ignored)
    assert torch.equal(scorer.embed(painted, area), scorer.embed(some_pixels(2), area))
    assert not torch.equal(scorer.embed(painted), scorer.embed(some_pixels(2)))


def test_weights_of_the_map_are_those_of_a_normalised_average() -> None:
    """The gain is one over what the judged cells weigh."""
    ignored = a_rectangle(0, 0, HEIGHT, 32)
    area = ignored_area(ignored, (8, 12), CPU)
    weight = anomaly_maps(F.pad(torch.ones(1, 8, 8), (4, 0)), (HEIGHT, WIDTH))[0]
    torch.testing.assert_close(area.gain[:, 32:], 1 / weight[:, 32:])
