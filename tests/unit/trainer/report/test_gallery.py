import io
import math
from functools import partial

import numpy as np
import pytest
from PIL import Image

from tests.unit.trainer.report.factories import CALIBRATION, judged
from trainer.report.gallery import THUMBNAIL_SIDE_PX, TILES_PER_GALLERY, Album, Gallery, Tile


def an_album() -> Album:
    return Album(CALIBRATION, "squash")


def test_each_gallery_holds_its_sort_in_its_order() -> None:
    album = an_album()
    for name, kind, score in (
        ("m1", "dent", 3.0),
        ("m2", "dent", 2.0),
        ("m3", "scratch", 3.5),
        ("c1", "dent", 5.0),
        ("c2", "dent", 9.0),
        ("g1", "good", 1.0),
        ("f1", "good", 4.5),
        ("f2", "good", 6.0),
    ):
        album.see(judged(name, kind, score))
    assert [tile.name for tile in album.missed.tiles()] == ["m2", "m3", "m1"]
    assert [tile.name for tile in album.false_rejects.tiles()] == ["f2", "f1"]
    assert [tile.name for tile in album.caught.tiles()] == ["c2", "c1"]
    assert album.scores == {"dent": [3.0, 2.0, 5.0, 9.0], "scratch": [3.5], "good": [1.0, 4.5, 6.0]}


def test_a_gallery_keeps_a_few_of_many_and_renders_only_those_that_may_be_shown() -> None:
    rendered: list[float] = []
    tile = an_album()._tile(judged("x", "dent", 5.0))

    def offer(score: float) -> None:
        def render() -> Tile:
            rendered.append(score)
            return tile

        gallery.offer("dent", score, render)

    gallery = Gallery(limit=3)
    for score in range(100, 0, -1):
        offer(float(score))
    assert rendered == [100, 99, 98]
    assert (len(gallery.tiles()), gallery.seen) == (3, 100)
    for score in range(200, 300):
        offer(float(score))
    assert len(gallery._kept["dent"]) == 3


def test_a_gallery_is_never_longer_than_its_limit_and_shows_every_kind() -> None:
    album = an_album()
    for number in range(40):
        album.see(judged(f"{number}", f"kind{number % 3}", 5.0 + number))
    tiles = album.caught.tiles()
    assert len(tiles) == TILES_PER_GALLERY
    assert [sum(tile.kind == f"kind{k}" for tile in tiles) for k in range(3)] == [8, 8, 8]


def test_of_equal_scores_the_first_seen_is_kept() -> None:
    gallery, album = Gallery(limit=1), an_album()
    for name in ("first", "second"):
        gallery.offer("dent", 5.0, partial(album._tile, judged(name, "dent", 5.0)))
    assert [tile.name for tile in gallery.tiles()] == ["first"]


@pytest.mark.parametrize(
    ("image_size", "shown"), [((400, 800), (256, 128)), ((20, 10), (10, 20)), ((9000, 9), (1, 256))]
)
def test_thumbnails_are_small_and_keep_the_frames_shape(image_size: tuple[int, int], shown: tuple[int, int]) -> None:
    tile = an_album()._tile(judged("x", "dent", 5.0, image_size=image_size))
    for jpeg in (tile.frame_jpeg, tile.heatmap_jpeg):
        with Image.open(io.BytesIO(jpeg)) as image:
            assert image.format == "JPEG"
            assert image.size == (tile.width, tile.height) == shown
    assert max(shown) <= THUMBNAIL_SIDE_PX


def test_outlines_are_there_where_masks_are() -> None:
    album = an_album()
    caught, missed = album._tile(judged("x", "dent", 5.0, truth=True)), album._tile(judged("x", "dent", 3.0))
    assert caught.mask is not None
    assert caught.truth is not None
    assert "M2 2h4" in caught.truth.path
    assert (missed.mask, missed.truth) == (None, None)
    assert caught.p_value == pytest.approx(1 / 5)


def test_a_score_that_is_no_number_is_left_out() -> None:
    album = an_album()
    album.see(judged("x", "dent", math.nan))
    assert (album.scores, album.missed.tiles()) == ({}, [])


def reddest(jpeg: bytes) -> tuple[int, int]:
    """Row and column of the pixel whose red exceeds its blue by most."""
    with Image.open(io.BytesIO(jpeg)) as image:
        pixels = np.asarray(image.convert("RGB")).astype(int)
    row, column = np.unravel_index((pixels[..., 0] - pixels[..., 2]).argmax(), pixels.shape[:2])
    return int(row), int(column)


@pytest.mark.parametrize("score", [2.0, 9.0])
def test_heatmaps_are_red_at_the_peak_whether_it_is_over_the_threshold_or_not(score: float) -> None:
    tile = an_album()._tile(judged("x", "dent", score))
    row, column = reddest(tile.heatmap_jpeg)
    assert row < tile.height / 4
    assert column < tile.width / 4
