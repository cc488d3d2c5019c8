import io

import numpy as np
import pytest
from PIL import Image

from qc_worker.imaging.aspect import Aspect
from qc_worker.imaging.heatmap import render_heatmap, turbo
from qc_worker.imaging.preprocessing import decode_picture
from tests.unit.simplenet.factories import LIMITS, a_gradient, encoded


@pytest.mark.parametrize("aspect", ["squash", "pad"])
@pytest.mark.parametrize("size", [(60, 40), (1200, 300), (10, 2000), (1, 1)])
def test_heatmap_and_thumbnail_keep_the_aspect_ratio(size: tuple[int, int], aspect: Aspect) -> None:
    picture = decode_picture(encoded(a_gradient(size=size)), input_size=(64, 64), aspect=aspect, limits=LIMITS)
    heatmap_png, thumbnail_jpeg = render_heatmap(picture, np.zeros((64, 64), np.float32), 0.0, aspect)
    scale = min(1, 512 / max(size))
    expected = tuple(max(1, round(side * scale)) for side in size)
    assert Image.open(io.BytesIO(heatmap_png)).size == expected
    assert Image.open(io.BytesIO(thumbnail_jpeg)).size == expected
    assert Image.open(io.BytesIO(thumbnail_jpeg)).format == "JPEG"


def test_the_threshold_has_the_same_colour_on_every_frame_and_only_the_peak_is_darkest_red() -> None:
    picture = decode_picture(encoded(Image.new("RGB", (64, 64))), input_size=(64, 64), aspect="squash", limits=LIMITS)
    weak, strong = np.full((2, 64, 64), -1.0, np.float32)
    weak[10:20, 10:20] = 0.2
    strong[10:20, 10:20], strong[30:40, 30:40], strong[50:60, 50:60] = 0.2, 3.0, 9.0
    shown = [
        np.asarray(Image.open(io.BytesIO(render_heatmap(picture, scores, 0.2, "squash")[0])))
        for scores in (weak, strong)
    ]
    assert np.array_equal(shown[0][15, 15], shown[1][15, 15])
    assert shown[1][55, 55][1] < shown[1][35, 35][1]


def test_far_below_the_threshold_the_frame_is_shown_as_it_is() -> None:
    picture = decode_picture(encoded(a_gradient(size=(64, 64))), input_size=(64, 64), aspect="squash", limits=LIMITS)
    heatmap_png, _ = render_heatmap(picture, np.full((64, 64), -9.0, np.float32), 0.0, "squash")
    shown = np.asarray(Image.open(io.BytesIO(heatmap_png)))
    assert np.array_equal(shown, picture.pixels.permute(1, 2, 0).numpy())


def test_turbo_runs_from_dark_blue_over_green_to_dark_red() -> None:
    red, green, blue = np.moveaxis(turbo(np.array([0.1, 0.5, 0.95])), -1, 0)
    assert blue[0] > max(red[0], green[0])
    assert green[1] > max(red[1], blue[1])
    assert red[2] > max(green[2], blue[2])


def test_where_nothing_is_judged_there_are_lines_and_no_heat() -> None:
    picture = decode_picture(
        encoded(Image.new("RGB", (64, 64), "grey")), input_size=(64, 64), aspect="squash", limits=LIMITS
    )
    scores = np.full((64, 64), 9.0, np.float32)
    scores[:32] = -np.inf
    heatmap_png, thumbnail_jpeg = render_heatmap(picture, scores, 0.0, "squash")
    shown = np.asarray(Image.open(io.BytesIO(heatmap_png))).astype(int)
    assert (np.ptp(shown[:32], axis=-1) == 0).all()  # grey, lighter and darker lines
    assert 1 < len(np.unique(shown[:32])) <= 3
    assert (np.ptp(shown[33:], axis=-1) > 50).all()
    assert np.ptp(np.asarray(Image.open(io.BytesIO(thumbnail_jpeg)))) == 0
