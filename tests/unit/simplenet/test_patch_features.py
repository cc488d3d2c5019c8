import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from qc_worker.simplenet.patch_features import AggregatedLevels, aggregate, coarsened, concatenate, embed, resize
from tests.unit.simplenet.factories import an_embedding_spec

SIDES = st.integers(1, 7)


def literal_aggregate(level_map: Tensor, patch_size: int) -> Tensor:
    _, _, height, width = level_map.shape
    reach = patch_size // 2
    averaged = torch.empty_like(level_map)
    for y in range(height):
        for x in range(width):
            rows = [row for row in range(y - reach, y + reach + 1) if 0 <= row < height]
            columns = [column for column in range(x - reach, x + reach + 1) if 0 <= column < width]
            cells = [level_map[:, :, row, column] for row in rows for column in columns]
            averaged[:, :, y, x] = sum(cells) / len(cells)
    return averaged


def literal_resize(level_map: Tensor, height: int, width: int) -> Tensor:
    """Bilinear between cell centres; beyond the outermost centre the edge's value."""
    old_height, old_width = level_map.shape[-2:]
    resized = level_map.new_empty(*level_map.shape[:2], height, width)
    for y in range(height):
        for x in range(width):
            v = min(max((y + 0.5) * old_height / height - 0.5, 0), old_height - 1)
            u = min(max((x + 0.5) * old_width / width - 0.5, 0), old_width - 1)
            top, left = int(v), int(u)
            bottom, right = min(top + 1, old_height - 1), min(left + 1, old_width - 1)
            upper = level_map[..., top, left] * (1 - (u - left)) + level_map[..., top, right] * (u - left)
            lower = level_map[..., bottom, left] * (1 - (u - left)) + level_map[..., bottom, right] * (u - left)
            resized[..., y, x] = upper * (1 - (v - top)) + lower * (v - top)
    return resized


@settings(deadline=None, max_examples=40)
@given(height=SIDES, width=SIDES, patch_size=st.sampled_from([1, 3, 5]), seed=st.integers(0, 999))
def test_aggregation_averages_the_neighbours_that_exist(height: int, width: int, patch_size: int, seed: int) -> None:
    level_map = torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(seed))
    torch.testing.assert_close(aggregate(level_map, patch_size), literal_aggregate(level_map, patch_size))


@settings(deadline=None, max_examples=40)
@given(height=SIDES, width=SIDES, factor=st.integers(2, 3), seed=st.integers(0, 999))
def test_embedding_concatenates_levels_at_the_grids_size(height: int, width: int, factor: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    fine = torch.randn(2, 2, height * factor, width * factor, generator=generator)
    coarse = torch.randn(2, 3, height, width, generator=generator)
    resized = literal_resize(literal_aggregate(coarse, 3), height * factor, width * factor)
    expected = torch.cat([literal_aggregate(fine, 3), resized], dim=1)
    torch.testing.assert_close(
        embed([fine, coarse], 3, (height * factor, width * factor)), expected, rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("patch_size", [1, 3, 5])
def test_a_flat_map_stays_flat_up_to_its_edges(patch_size: int) -> None:
    torch.testing.assert_close(aggregate(torch.ones(1, 1, 4, 5), patch_size), torch.ones(1, 1, 4, 5))


@settings(deadline=None, max_examples=40)
@given(height=SIDES, width=SIDES, factor=st.integers(1, 3), seed=st.integers(0, 999))
def test_a_finer_map_is_averaged_to_the_grids_cells(height: int, width: int, factor: int, seed: int) -> None:
    fine = torch.randn(2, 3, height * factor, width * factor, generator=torch.Generator().manual_seed(seed))
    expected = fine.view(2, 3, height, factor, width, factor).mean(dim=(3, 5))
    torch.testing.assert_close(coarsened(fine, (height, width)), expected)


def test_cells_of_odd_sides_share_the_row_between_them() -> None:
    fine = torch.randn(1, 2, 5, 7, generator=torch.Generator().manual_seed(0))
    coarse = coarsened(fine, (3, 4))
    torch.testing.assert_close(coarse[..., 0, 0], fine[..., 0:2, 0:2].mean((2, 3)))
    torch.testing.assert_close(coarse[..., 1, 1], fine[..., 1:4, 1:4].mean((2, 3)))
    torch.testing.assert_close(coarse[..., 2, 3], fine[..., 3:5, 5:7].mean((2, 3)))


@settings(deadline=None, max_examples=30)
@given(height=SIDES, width=SIDES, seed=st.integers(0, 999))
def test_a_coarser_map_stays_as_it_is_until_it_is_concatenated(height: int, width: int, seed: int) -> None:
    coarse = torch.randn(1, 2, height, width, generator=torch.Generator().manual_seed(seed))
    grid = (2 * height, 2 * width)
    assert coarsened(coarse, grid) is coarse
    torch.testing.assert_close(concatenate([coarse], grid), resize(coarse, grid))


@pytest.mark.parametrize("size", [(64, 64), (72, 104), (33, 65)])
def test_levels_finer_than_the_grid_come_at_its_size_coarser_ones_at_their_own(size: tuple[int, int]) -> None:
    class Maps:
        """Stands for a backbone: random maps of strides 8, 16 and 32."""

        channels = (2, 3, 4)

        def __call__(self, pixels: Tensor) -> list[Tensor]:
            sides = [[-(-side // stride) for side in pixels.shape[-2:]] for stride in (8, 16, 32)]
            return [torch.randn(len(pixels), count, *side) for count, side in zip(self.channels, sides, strict=True)]

    backbone_pass = an_embedding_spec(levels=(8, 16, 32), grid_stride=16, input_size=size).backbone_pass
    levels = AggregatedLevels(Maps(), backbone_pass)  # type: ignore[arg-type]
    shapes = [tuple(found.shape[-2:]) for found in levels(torch.zeros(2, 3, *size, dtype=torch.uint8))]
    coarse = (-(-size[0] // 32), -(-size[1] // 32))
    assert shapes == [backbone_pass.grid, backbone_pass.grid, coarse]


def test_mask_levels_follow_as_they_are() -> None:
    class Maps:
        """Stands for a backbone with maps of strides 4, 8 and 16."""

        channels = (2, 3, 4)
        maps = tuple(torch.randn(1, count, side, side) for count, side in zip(channels, (16, 8, 4), strict=True))

        def __call__(self, _: Tensor) -> list[Tensor]:
            return list(self.maps)

    spec = an_embedding_spec(levels=(8, 16), grid_stride=16, mask_levels=(4, 8), input_size=(64, 64))
    levels = AggregatedLevels(Maps(), spec.backbone_pass)  # type: ignore[arg-type]
    assert (levels.channels, levels.mask_channels, spec.mask_grid) == ((3, 4), (2, 3), (16, 16))
    first, second, *finer = levels(torch.zeros(1, 3, 64, 64, dtype=torch.uint8))
    assert torch.equal(first, coarsened(aggregate(Maps.maps[1], 3), (4, 4)))
    assert torch.equal(second, aggregate(Maps.maps[2], 3))
    assert [torch.equal(*pair) for pair in zip(finer, Maps.maps[:2], strict=True)] == [True, True]
