from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco
from scipy import ndimage

from qc_worker.domain.calibration import Calibration
from qc_worker.domain.inspection import MAX_DEFECTS, Defect, Mask, Verdict
from qc_worker.imaging.aspect import Aspect
from qc_worker.imaging.defects import (
    REGION_HEIGHT,
    described,
    encode_mask,
    half_height,
    published_defects,
    without_padding,
)
from qc_worker.imaging.preprocessing import content_box
from qc_worker.imaging.run_lengths import decode_mask
from qc_worker.wire.json_schemas import json_schemas

Map = npt.NDArray[np.float32]
Region = tuple[int, int, int, int, int, float]


def a_map(size: tuple[int, int], seed: int) -> Map:
    return np.random.default_rng(seed).random(size, dtype=np.float32)


def decoded(mask: Mask) -> npt.NDArray[np.bool_]:
    pixels: npt.NDArray[np.bool_] = coco.decode({"size": list(mask.size), "counts": mask.counts.encode()}).astype(bool)
    return pixels


def regions_over(
    anomaly_map: Map, threshold: float, image_size: tuple[int, int], aspect: Aspect
) -> tuple[tuple[Defect, ...], Mask]:
    picture_map = without_padding(anomaly_map, image_size, aspect)
    return described(picture_map, picture_map > np.float64(threshold), image_size)


def literal_regions(anomaly_map: Map, threshold: float) -> list[Region]:
    """Flood fill, cell by cell: x, y, width, height, area, peak."""
    unseen = {(int(y), int(x)) for y, x in np.argwhere(anomaly_map > threshold)}
    regions = []
    while unseen:
        edge = [unseen.pop()]
        cells = list(edge)
        while edge:
            y, x = edge.pop()
            near = {(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)} & unseen
            unseen -= near
            edge += near
            cells += near
        ys, xs = [y for y, _ in cells], [x for _, x in cells]
        peak = max(float(anomaly_map[cell]) for cell in cells)
        box = (min(xs), min(ys), max(xs) - min(xs) + 1, max(ys) - min(ys) + 1)
        regions.append((*box, len(cells), peak))
    return regions


@settings(deadline=None, max_examples=60)
@given(size=st.tuples(st.integers(1, 16), st.integers(1, 16)), threshold=st.floats(0, 1), seed=st.integers(0, 999))
def test_regions_are_those_of_a_flood_fill(size: tuple[int, int], threshold: float, seed: int) -> None:
    anomaly_map = a_map(size, seed)
    defects, mask = regions_over(anomaly_map, threshold, size, "squash")
    found = [(d.x, d.y, d.width, d.height, d.area_px, d.peak_score) for d in defects]
    assert sorted(found) == sorted(literal_regions(anomaly_map, threshold))
    assert [d.area_px for d in defects] == sorted((d.area_px for d in defects), reverse=True)
    assert np.array_equal(decoded(mask), anomaly_map > threshold)


@settings(deadline=None, max_examples=60)
@given(
    height=st.integers(1, 90),
    width=st.integers(1, 90),
    map_size=st.sampled_from([(16, 16), (12, 20), (24, 9)]),
    aspect=st.sampled_from(["squash", "pad"]),
    seed=st.integers(0, 999),
)
def test_boxes_lie_inside_the_original_and_cover_the_mask(
    height: int, width: int, map_size: tuple[int, int], aspect: Aspect, seed: int
) -> None:
    defects, mask = regions_over(a_map(map_size, seed), 0.8, (height, width), aspect)
    for defect in defects:
        assert 0 <= defect.x < defect.x + defect.width <= width
        assert 0 <= defect.y < defect.y + defect.height <= height
    centres = (np.argwhere(decoded(mask)) + 0.5) * np.array([height, width]) / np.array(mask.size)
    for y, x in centres:
        assert any(d.x <= x <= d.x + d.width and d.y <= y <= d.y + d.height for d in defects)


@settings(deadline=None, max_examples=60)
@given(height=st.integers(1, 30), width=st.integers(1, 30), share=st.floats(0, 1), seed=st.integers(0, 999))
def test_mask_survives_its_encoding(height: int, width: int, share: float, seed: int) -> None:
    mask = np.random.default_rng(seed).random((height, width)) < share
    assert encode_mask(mask).size == (height, width)
    assert np.array_equal(decoded(encode_mask(mask)), mask)


def spots(count: int) -> Map:
    """Make a map with so many separate regions; the first half of them are larger than the others."""
    anomaly_map = np.zeros((64, 64), np.float32)
    for number in range(count):
        row, column = divmod(number, 16)
        anomaly_map[4 * row, 4 * column : 4 * column + (2 if number < count // 2 else 1)] = 1.0 + number
    return anomaly_map


@pytest.mark.parametrize("count", [MAX_DEFECTS - 1, MAX_DEFECTS, MAX_DEFECTS + 1, 200])
def test_the_largest_regions_are_listed_and_the_mask_has_all(count: int) -> None:
    anomaly_map = spots(count)
    defects, mask = regions_over(anomaly_map, 0.5, (64, 64), "squash")
    every_region = sorted(literal_regions(anomaly_map, 0.5), key=lambda region: (-region[4], region[1], region[0]))
    found = [(d.x, d.y, d.width, d.height, d.area_px, d.peak_score) for d in defects]
    assert found == every_region[:MAX_DEFECTS]
    assert np.array_equal(decoded(mask), anomaly_map > 0.5)


def test_the_schema_states_how_many_defects_are_listed() -> None:
    description = json_schemas()["inspection"]["properties"]["defects"]["description"]
    assert f"the {MAX_DEFECTS} largest" in description


def test_padding_is_neither_in_boxes_nor_in_the_mask() -> None:
    anomaly_map = np.zeros((64, 64), np.float32)
    anomaly_map[:16] = 1.0  # above a picture that is twice as wide as high
    anomaly_map[16:20, 0:8] = 1.0
    defects, mask = regions_over(anomaly_map, 0.5, (100, 200), "pad")
    assert content_box((100, 200), (64, 64), "pad") == (0, 16, 64, 32)
    assert mask.size == (32, 64)
    assert [(d.x, d.y, d.width, d.height) for d in defects] == [(0, 0, 25, 13)]
    assert defects[0].area_px == pytest.approx(25 * 12.5, abs=1)


def test_nothing_over_the_threshold_is_no_defect() -> None:
    defects, mask = regions_over(np.zeros((8, 8), np.float32), 0.0, (80, 80), "squash")
    assert defects == ()
    assert not decoded(mask).any()


CALIBRATION = Calibration(scores=(0.1, 0.2, 0.3, 0.4, 0.5, 0.6), max_false_reject=0.2, review_rate=0.6)


def published(
    anomaly_map: Map, mask_map: Map, size: tuple[int, int], aspect: Aspect = "squash"
) -> tuple[tuple[Defect, ...], npt.NDArray[np.bool_]]:
    defects, mask = published_defects(
        anomaly_map, mask_map, Verdict.REJECT, CALIBRATION, image_size=size, aspect=aspect
    )
    assert mask is not None
    return defects, decode_mask(mask)


def literally_published(
    anomaly_map: Map, mask_map: Map, calibration: Calibration
) -> tuple[list[Region], npt.NDArray[np.bool_]]:
    """Follow the definition step by step, on the whole map and in double precision."""
    judged = anomaly_map[np.isfinite(anomaly_map)].astype(np.float64)
    rough = anomaly_map >= float((np.median(judged) + judged.max()) / 2)
    within = np.where(rough, mask_map, -np.inf)
    over = rough
    if calibration.mask_peak is None or within.max() >= calibration.mask_peak:
        fine = within[np.isfinite(within)].astype(np.float64)
        peak, usual = fine.max(), calibration.mask_baseline
        foot = usual if usual is not None and usual < peak else float(np.median(fine))
        outline = foot + REGION_HEIGHT * (peak - foot)
        labels, count = ndimage.label(within >= outline, structure=np.ones((3, 3)))
        over = np.isin(labels, [n for n in range(1, count + 1) if within[labels == n].max() >= (outline + peak) / 2])
    return literal_regions(np.where(over, anomaly_map, -np.inf).astype(np.float32), -1e30), over


@settings(deadline=None, max_examples=120)
@given(
    size=st.tuples(st.integers(1, 48), st.integers(1, 48)),
    smooth=st.floats(0.5, 6),
    ignored=st.floats(0, 0.5),
    usual=st.none() | st.floats(-0.5, 1),
    mask_peak=st.none() | st.floats(0, 1),
    seed=st.integers(0, 999),
)
def test_what_is_published_follows_the_definition(
    *, size: tuple[int, int], smooth: float, ignored: float, usual: float | None, mask_peak: float | None, seed: int
) -> None:
    anomaly_map = ndimage.gaussian_filter(a_map(size, seed), smooth)
    mask_map = ndimage.gaussian_filter(a_map(size, seed + 1), 0.5)
    unjudged = np.random.default_rng(seed).random(size) < ignored
    unjudged[0, 0] = False
    anomaly_map[unjudged], mask_map[unjudged] = -np.inf, -np.inf
    calibration = replace(CALIBRATION, mask_baseline=usual, mask_peak=mask_peak)
    defects, mask = published_defects(
        anomaly_map, mask_map, Verdict.REJECT, calibration, image_size=size, aspect="squash"
    )
    regions, over = literally_published(anomaly_map, mask_map, calibration)
    assert mask is not None
    assert np.array_equal(decoded(mask), over)
    found = [(d.x, d.y, d.width, d.height, d.area_px, d.peak_score) for d in defects]
    assert len(found) == min(MAX_DEFECTS, len(regions))
    assert set(found) <= set(regions)


@given(size=st.integers(1, 16), scale=st.floats(0, 2), seed=st.integers(0, 999))
def test_whatever_people_see_shows_a_defect_and_nothing_else_does(size: int, scale: float, seed: int) -> None:
    anomaly_map, mask_map = a_map((size, size), seed) * np.float32(scale), a_map((size, size), seed + 1)
    verdict = CALIBRATION.verdict(float(anomaly_map.max()))
    defects, mask = published_defects(
        anomaly_map, mask_map, verdict, CALIBRATION, image_size=(size, size), aspect="squash"
    )
    if verdict is Verdict.PASS:
        assert (defects, mask) == ((), None)
        return
    assert defects
    assert mask is not None
    within = np.where(anomaly_map >= half_height(anomaly_map), mask_map, -np.inf)
    assert decode_mask(mask).ravel()[within.argmax()]
    assert not (decode_mask(mask) & np.isneginf(within)).any()


def test_where_is_read_from_one_map_how_strong_from_the_other() -> None:
    anomaly_map, mask_map = np.full((4, 4), 0.5, np.float32), np.zeros((4, 4), np.float32)
    anomaly_map[1:3, 1:3], mask_map[1:3, 1] = 0.9, 7.0
    mask_map[3, 3] = 9.0  # where nothing made the verdict
    defects, mask = published(anomaly_map, mask_map, (4, 4))
    assert [(d.x, d.y, d.width, d.height, d.peak_score) for d in defects] == [(1, 1, 1, 2, float(np.float32(0.9)))]
    assert np.argwhere(mask).tolist() == [[1, 1], [2, 1]]


def test_what_has_no_fine_traces_is_shown_as_roughly_as_it_is_known() -> None:
    anomaly_map, mask_map = np.zeros((4, 4), np.float32), np.zeros((4, 4), np.float32)
    anomaly_map[1:3, 1:4], mask_map[1, 1] = 0.9, 2.0
    for peak, shown in ((1.9, 1), (2.1, 6), (None, 1)):
        calibration = replace(CALIBRATION, mask_peak=peak)
        _, mask = published_defects(
            anomaly_map, mask_map, Verdict.REJECT, calibration, image_size=(4, 4), aspect="squash"
        )
        assert mask is not None
        assert decode_mask(mask).sum() == shown


def test_padding_shows_no_defect() -> None:
    mask_map = np.zeros((64, 64), np.float32)
    mask_map[2, 2] = 9.0  # above a picture that is twice as wide as high
    mask_map[30, 30] = 1.0
    defects, mask = published(np.ones((64, 64), np.float32), mask_map, (32, 64), "pad")
    assert [(d.x, d.y, d.area_px) for d in defects] == [(30, 14, 1)]
    assert mask.shape == (32, 64)


def test_where_nothing_is_judged_nothing_is_shown() -> None:
    nothing = np.full((4, 4), -np.inf, np.float32)
    defects, mask = published(nothing, nothing, (4, 4))
    assert defects == ()
    assert not mask.any()
