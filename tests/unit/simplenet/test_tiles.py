from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from qc_worker.simplenet.tiles import MARGIN_PX, MAX_TILES, Span, Tiling, tiling_of
from tests.unit.simplenet.factories import an_embedding_spec

CELLS = st.integers(1, 64)


def a_tiling(cells: tuple[int, int], tiles: int, stride: int) -> Tiling:
    try:
        return tiling_of((cells[0] * stride, cells[1] * stride), tiles, stride)
    except ValueError:
        assume(False)
        raise


@given(cells=st.tuples(CELLS, CELLS), tiles=st.integers(2, MAX_TILES), stride=st.sampled_from([8, 14, 16, 32, 64]))
def test_tiles_have_one_size_start_on_the_grid_and_overlap(cells: tuple[int, int], tiles: int, stride: int) -> None:
    tiling = a_tiling(cells, tiles, stride)
    for spans, length in ((tiling.rows, cells[0] * stride), (tiling.columns, cells[1] * stride)):
        assert {span.stop - span.start for span in spans} == {spans[0].stop}
        assert all(side % stride == 0 for span in spans for side in (span.start, span.stop, span.kept_from))
        assert (spans[0].start, spans[-1].stop) == (0, length)
        for before, after in pairwise(spans):
            assert before.start < after.start
            assert before.stop - before.kept_to >= MARGIN_PX
            assert after.kept_from - after.start >= MARGIN_PX


@given(cells=st.tuples(CELLS, CELLS), tiles=st.integers(2, MAX_TILES), stride=st.sampled_from([8, 14, 16, 32, 64]))
def test_every_pixel_counts_in_one_tile(cells: tuple[int, int], tiles: int, stride: int) -> None:
    tiling = a_tiling(cells, tiles, stride)
    for spans, length in ((tiling.rows, cells[0] * stride), (tiling.columns, cells[1] * stride)):
        assert [span.kept_from for span in spans] == [0, *(span.kept_to for span in spans[:-1])]
        assert spans[-1].kept_to == length
    assert max(len(tiling.rows), len(tiling.columns)) == tiles
    assert max(tiling.tile_size) < max(cells) * stride


def test_the_short_side_is_cut_as_often_as_its_length_needs() -> None:
    assert tiling_of((256, 1024), 4, 32).rows == (Span(0, 256, 0, 256),)
    assert (tiling_of((512, 1024), 4, 32).count, tiling_of((512, 1024), 4, 32).tile_size) == (8, (320, 352))
    assert (tiling_of((1024, 512), 4, 32).count, tiling_of((1024, 512), 4, 32).tile_size) == (8, (352, 320))
    assert (tiling_of((512, 512), 2, 32).count, tiling_of((512, 512), 2, 32).tile_size) == (4, (320, 320))


@pytest.mark.parametrize(
    ("size", "tiles", "message"), [((500, 512), 2, "multiples of 32"), ((96, 96), 4, "too small for 4 tiles")]
)
def test_what_cannot_be_cut_is_refused(size: tuple[int, int], tiles: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tiling_of(size, tiles, 32)


def test_cost_counts_every_pixel_that_the_backbone_sees_in_frames_of_256_pixels() -> None:
    assert an_embedding_spec(input_size=(256, 512)).cost == 2.0
    tiled = an_embedding_spec(input_size=(512, 512), tiles=2)
    assert tiled.cost == 4 * 320 * 320 / 256**2
    assert (tiled.backbone_pass.frames_within(8), tiled.backbone_pass.frames_within(3)) == (2, 1)
    assert an_embedding_spec().backbone_pass.frames_within(8) == 8
