from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from qc_worker.simplenet.backbones.backbone import Backbone, load_backbone
from qc_worker.simplenet.inference.scorer import Scorer
from qc_worker.simplenet.patch_features import AggregatedLevels
from qc_worker.simplenet.spec import BackbonePass
from qc_worker.simplenet.stitching import TILES_AT_ONCE, stitched_maps
from qc_worker.simplenet.tiles import Tiling, tiling_of
from tests.unit.simplenet.factories import a_head, an_embedding_spec, random_weights

SHAPES = [((256, 320), 2), ((320, 256), 3), ((256, 256), 2), ((64, 256), 3)]


class ShortSighted:
    """Levels of strides 4 and 8, each cell of which depends on no more than 15 pixels."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        layers = [nn.Conv2d(inner, outer, 3, stride=2, padding=1) for inner, outer in ((3, 4), (4, 5), (5, 6))]
        self.module: nn.Module = nn.ModuleList(layers)
        self.channels: tuple[int, ...] = (5, 6)
        self.mean: tuple[float, ...] = (0.5, 0.5, 0.5)
        self.std: tuple[float, ...] = (0.5, 0.5, 0.5)
        self._layers = layers

    def maps(self, images: Tensor) -> list[Tensor]:
        first, second, third = self._layers
        fine = second(first(images).relu()).relu()
        return [fine, third(fine)]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_weights(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def short_sighted(weights: Path) -> Backbone:
    return Backbone("short sighted", (4, 8), weights, ShortSighted())


@pytest.fixture(scope="module")
def lite0(weights: Path) -> Backbone:
    return load_backbone("efficientnet_lite0", levels=(8, 16), weights_dir=Path(), file=weights)


def some_pixels(count: int, size: tuple[int, int], seed: int = 1) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, *size, 3), dtype=torch.uint8, generator=random).permute(0, 3, 1, 2)


@pytest.mark.parametrize(("size", "tiles"), SHAPES)
@pytest.mark.parametrize("grid_stride", [4, 8])
def test_stitched_maps_are_those_of_a_whole_pass(
    size: tuple[int, int], tiles: int, grid_stride: int, short_sighted: Backbone
) -> None:
    pixels = some_pixels(3, size)
    backbone_pass = BackbonePass("short sighted", "", (4, 8), 3, size, grid_stride, tiles)
    whole = AggregatedLevels(short_sighted, replace(backbone_pass, tiles=1))
    tiled = AggregatedLevels(short_sighted, backbone_pass)
    assert [found.shape[-2:] for found in tiled(pixels)] == [backbone_pass.grid, (size[0] // 8, size[1] // 8)]
    for expected, found in zip(whole(pixels), tiled(pixels), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_a_network_that_sees_far_gives_nearly_the_maps_of_a_whole_pass(lite0: Backbone) -> None:
    size = (256, 384)
    pixels = some_pixels(2, (256, 384))
    pixels[:, :, 64:160, 96:224] //= 4
    tiled = stitched_maps(pixels, tiling_of(size, 2, 16), lite0)
    for expected, found in zip(lite0(pixels), tiled, strict=True):
        assert found.shape == expected.shape
        centred = expected - expected.mean(dim=(0, 2, 3), keepdim=True)
        unexplained = float((found - expected).square().sum() / centred.square().sum())
        assert unexplained < 0.05


@settings(deadline=None, max_examples=20)
@given(shape=st.sampled_from(SHAPES), row=st.floats(0, 1, exclude_max=True), column=st.floats(0, 1, exclude_max=True))
def test_what_a_frame_shows_is_found_at_its_place(
    shape: tuple[tuple[int, int], int], row: float, column: float
) -> None:
    size, tiles = shape
    y, x = int(row * size[0] / 8), int(column * size[1] / 8)
    pixels = torch.zeros((2, 3, *size), dtype=torch.uint8)
    pixels[1, :, 8 * y : 8 * y + 8, 8 * x : 8 * x + 8] = 200

    def brightness(tiles_of: Tensor) -> Sequence[Tensor]:
        return [torch.nn.functional.avg_pool2d(tiles_of.float(), stride) for stride in (4, 8)]

    fine, coarse = stitched_maps(pixels, tiling_of(size, tiles, 8), brightness)
    assert coarse[:, 0].nonzero().tolist() == [[1, y, x]]
    assert fine[:, 0].nonzero().tolist() == [[1, 2 * y + down, 2 * x + right] for down in (0, 1) for right in (0, 1)]


def test_many_frames_give_what_each_gives_alone(lite0: Backbone) -> None:
    pixels, tiling = some_pixels(3, (128, 192)), tiling_of((128, 192), 2, 16)
    together = stitched_maps(pixels, tiling, lite0)
    alone = [stitched_maps(pixels[index : index + 1], tiling, lite0) for index in range(3)]
    for level, maps in enumerate(together):
        torch.testing.assert_close(maps, torch.cat([one[level] for one in alone]), rtol=1e-3, atol=1e-3)


class Counting:
    """Gives one map of stride 8, and counts what it is asked for at once."""

    def __init__(self) -> None:
        self.counts: list[int] = []

    def __call__(self, tiles: Tensor) -> list[Tensor]:
        self.counts.append(len(tiles))
        return [torch.nn.functional.avg_pool2d(tiles.float(), 8)]


@pytest.mark.parametrize("at_once", [1, 3, TILES_AT_ONCE])
def test_tiles_at_once_are_bounded_whatever_the_number_of_frames(at_once: int) -> None:
    tiling, counting = tiling_of((256, 256), 3, 8), Counting()
    stitched_maps(some_pixels(5, (256, 256)), tiling, counting, at_once=at_once)
    assert sum(counting.counts) == 5 * tiling.count == 45
    assert max(counting.counts) == at_once
    assert len(counting.counts) == -(-45 // at_once)


def a_tiled_scorer(backbone: Backbone) -> Scorer:
    spec = an_embedding_spec(weights_sha256=backbone.weights_sha256, input_size=(128, 192), tiles=2)
    return Scorer(backbone, spec, torch.device("cpu"))


def test_a_tiled_frame_has_one_map_and_one_score(lite0: Backbone) -> None:
    scorer = a_tiled_scorer(lite0)
    head = a_head(scorer.level_channels, 16, cells=(16, 24))
    scored = scorer.score(some_pixels(3, (128, 192)), [scorer.take_in(head)] * 3)
    assert (scored.maps.shape, scored.scores.shape) == ((3, 128, 192), (3,))
    plain = head.patch_scores(scorer.embed(some_pixels(3, (128, 192))))
    assert plain.shape == (3, 16, 24)


def test_warming_up_counts_a_tiled_frame_as_its_tiles(lite0: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    scorer, counting = a_tiled_scorer(lite0), Counting()
    tiling = scorer.spec.backbone_pass.tiling
    assert isinstance(tiling, Tiling)
    monkeypatch.setattr(scorer, "_compute_levels", lambda pixels: stitched_maps(pixels, tiling, counting))
    scorer.warm_up([1, 8])
    assert counting.counts == [tiling.count, 8 // tiling.count * tiling.count]
