from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco

from qc_worker.domain.calibration import Calibration
from qc_worker.domain.inspection import Mask, Verdict
from qc_worker.simplenet.localise import encode_mask, half_height, localise, published_defects
from qc_worker.simplenet.preprocessing import content_box
from qc_worker.simplenet.run_lengths import decode_mask
from qc_worker.simplenet.spec import Aspect

Map = npt.NDArray[np.float32]
Region = tuple[int, int, int, int, int, float]


def a_map(size: tuple[int, int], seed: int) -> Map:
    return np.random.default_rng(seed).random(size, dtype=np.float32)


def decoded(mask: Mask) -> npt.NDArray[np.bool_]:
    pixels: npt.NDArray[np.bool_] = coco.decode({"size": list(mask.size), "counts": mask.counts.encode()}).astype(bool)
    return pixels


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
    defects, mask = localise(anomaly_map, threshold, size, "squash")
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
    defects, mask = localise(a_map(map_size, seed), 0.8, (height, width), aspect)
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


def test_padding_is_neither_in_boxes_nor_in_the_mask() -> None:
    anomaly_map = np.zeros((64, 64), np.float32)
    anomaly_map[:16] = 1.0  # above a picture that is twice as wide as high
    anomaly_map[16:20, 0:8] = 1.0
    defects, mask = localise(anomaly_map, 0.5, (100, 200), "pad")
    assert content_box((100, 200), (64, 64), "pad") == (0, 16, 64, 32)
    assert mask.size == (32, 64)
    assert [(d.x, d.y, d.width, d.height) for d in defects] == [(0, 0, 25, 13)]
    assert defects[0].area_px == pytest.approx(25 * 12.5, abs=1)


def test_nothing_over_the_threshold_is_no_defect() -> None:
    defects, mask = localise(np.zeros((8, 8), np.float32), 0.0, (80, 80), "squash")
    assert defects == ()
    assert not decoded(mask).any()


CALIBRATION = Calibration(scores=(0.1, 0.2, 0.3, 0.4, 0.5, 0.6), max_false_reject=0.2, review_rate=0.6)


@given(size=st.integers(1, 16), scale=st.floats(0, 2), seed=st.integers(0, 999))
def test_whatever_people_see_shows_a_defect_and_nothing_else_does(size: int, scale: float, seed: int) -> None:
    anomaly_map = a_map((size, size), seed) * np.float32(scale)
    verdict = CALIBRATION.verdict(float(anomaly_map.max()))
    defects, mask = published_defects(anomaly_map, verdict, CALIBRATION, image_size=(size, size), aspect="squash")
    if verdict is Verdict.PASS:
        assert (defects, mask) == ((), None)
        return
    assert defects
    assert mask is not None
    threshold = CALIBRATION.threshold if verdict is Verdict.REJECT else CALIBRATION.review_threshold
    shown = decode_mask(mask)
    assert shown.ravel()[anomaly_map.argmax()]
    over = anomaly_map > np.float64(max(threshold, half_height(anomaly_map)))
    assert np.array_equal(shown, over) or not over.any()


def test_the_surroundings_of_a_strong_defect_are_not_defective() -> None:
    anomaly_map = np.zeros((5, 5), np.float32)
    anomaly_map[1:4, 1:4] = 1.0  # over the threshold, but far below the peak
    anomaly_map[2, 2] = 4.0
    _, mask = published_defects(anomaly_map, Verdict.REJECT, CALIBRATION, image_size=(5, 5), aspect="squash")
    assert mask is not None
    assert np.argwhere(decode_mask(mask)).tolist() == [[2, 2]]


def test_what_pixels_of_good_frames_exceed_is_not_defective() -> None:
    anomaly_map = np.array([[0.1, 0.2, 1.4, 1.6]], np.float32)
    calibration = replace(CALIBRATION, mask_threshold=1.45)
    _, mask = published_defects(anomaly_map, Verdict.REJECT, calibration, image_size=(1, 4), aspect="squash")
    assert mask is not None
    assert decode_mask(mask).tolist() == [[False, False, False, True]]


@settings(deadline=None)
@given(size=st.tuples(st.integers(1, 16), st.integers(1, 16)), ignored=st.floats(0, 0.9), seed=st.integers(0, 999))
def test_a_reject_whose_map_nowhere_exceeds_the_threshold_shows_what_lies_around_its_peak(
    size: tuple[int, int], ignored: float, seed: int
) -> None:
    anomaly_map = a_map(size, seed) * np.float32(0.5)
    anomaly_map[np.random.default_rng(seed + 1).random(size) < ignored] = -np.inf
    anomaly_map[0, 0] = 0.25
    peak = np.unravel_index(anomaly_map.argmax(), size)
    defects, mask = published_defects(anomaly_map, Verdict.REJECT, CALIBRATION, image_size=size, aspect="squash")
    assert mask is not None
    (defect,) = defects  # one, and so connected
    assert defect.peak_score == anomaly_map.max()
    assert decode_mask(mask)[peak]
    judged = anomaly_map[np.isfinite(anomaly_map)].astype(np.float64)
    assert anomaly_map[decode_mask(mask)].min() >= (np.median(judged) + judged.max()) / 2


def test_an_even_map_that_is_rejected_is_one_region() -> None:
    anomaly_map = np.full((4, 6), 0.5, np.float32)
    defects, mask = published_defects(anomaly_map, Verdict.REJECT, CALIBRATION, image_size=(4, 6), aspect="squash")
    assert [(d.width, d.height) for d in defects] == [(6, 4)]
    assert mask is not None
    assert decode_mask(mask).all()


def test_the_region_around_the_peak_lies_in_the_picture_not_its_padding() -> None:
    anomaly_map = np.zeros((64, 64), np.float32)
    anomaly_map[2, 2] = 0.55  # above a picture that is twice as wide as high
    anomaly_map[30, 30] = 0.5
    defects, mask = published_defects(anomaly_map, Verdict.REJECT, CALIBRATION, image_size=(32, 64), aspect="pad")
    assert [(d.x, d.y, d.area_px) for d in defects] == [(30, 14, 1)]
    assert mask is not None
    assert mask.size == (32, 64)


def test_where_nothing_is_judged_nothing_is_shown() -> None:
    anomaly_map = np.full((4, 4), -np.inf, np.float32)
    defects, mask = published_defects(anomaly_map, Verdict.REJECT, CALIBRATION, image_size=(4, 4), aspect="squash")
    assert defects == ()
    assert mask is not None
    assert not decode_mask(mask).any()


def test_a_score_that_is_rejected_by_a_rounding_error_shows_its_defect() -> None:
    anomaly_map = np.full((2, 2), 0.6, np.float32)
    calibration = Calibration(scores=(0.1, 0.2, 0.3, 0.6), max_false_reject=0.2)
    verdict = calibration.verdict(float(anomaly_map.max()))
    assert verdict is Verdict.REJECT
    assert published_defects(anomaly_map, verdict, calibration, image_size=(2, 2), aspect="squash")[0]
