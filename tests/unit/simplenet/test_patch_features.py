import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from qc_worker.simplenet.patch_features import aggregate, embed, widen

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
def test_embedding_concatenates_levels_at_the_largest_size(height: int, width: int, factor: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    fine = torch.randn(2, 2, height * factor, width * factor, generator=generator)
    coarse = torch.randn(2, 3, height, width, generator=generator)
    resized = literal_resize(literal_aggregate(coarse, 3), height * factor, width * factor)
    expected = torch.cat([literal_aggregate(fine, 3), resized], dim=1)
    torch.testing.assert_close(embed([fine, coarse], 3), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("patch_size", [1, 3, 5])
def test_a_flat_map_stays_flat_up_to_its_edges(patch_size: int) -> None:
    torch.testing.assert_close(aggregate(torch.ones(1, 1, 4, 5), patch_size), torch.ones(1, 1, 4, 5))


def test_a_wide_window_averages_three_coarse_cells_each_way() -> None:
    fine = torch.randn(1, 2, 16, 16, generator=torch.Generator().manual_seed(0))
    wide = widen(fine, torch.empty(1, 5, 4, 4))
    torch.testing.assert_close(wide[..., 1, 2], fine[..., 0:12, 4:16].mean((2, 3)))
    torch.testing.assert_close(wide[..., 0, 0], fine[..., 0:8, 0:8].mean((2, 3)))
