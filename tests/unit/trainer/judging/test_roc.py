import math
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from sklearn.metrics import roc_auc_score

from qc_worker.simplenet.roc import auroc
from trainer.judging.localisation import PixelScores, localisation

# Few distinct values, so that ties are common.
SCORES = st.lists(st.integers(0, 6).map(float), min_size=1, max_size=30)


@given(normal=SCORES, anomalous=SCORES)
def test_auroc_equals_sklearns(normal: list[float], anomalous: list[float]) -> None:
    labels = [0] * len(normal) + [1] * len(anomalous)
    assert auroc(normal, anomalous) == pytest.approx(roc_auc_score(labels, normal + anomalous))


def test_auroc_of_nothing_is_not_a_number() -> None:
    assert math.isnan(auroc([], [1.0]))
    assert math.isnan(auroc([1.0], []))


def literal_aupro(maps: npt.NDArray[np.float32], masks: npt.NDArray[np.bool_], limit: float) -> float:
    """Threshold by threshold: mean overlap of all regions over false-positive rate, integrated by trapezoids."""
    regions = []
    for number, mask in enumerate(masks):
        labelled, count = ndimage.label(mask, structure=np.ones((3, 3)))
        regions += [(number, labelled == label) for label in range(1, count + 1)]
    points = [(0.0, 0.0)]
    for threshold in sorted(set(maps.ravel().tolist()), reverse=True):
        detected = maps >= threshold
        overlap = np.mean([detected[number][region].mean() for number, region in regions])
        points.append((float(detected[~masks].mean()), float(overlap)))
    area = 0.0
    for (x0, y0), (x1, y1) in pairwise(points):
        end = min(x1, limit)
        if end > x0:
            y_end = y0 + (y1 - y0) * (end - x0) / (x1 - x0)
            area += (end - x0) * (y0 + y_end) / 2
    return area / limit


@settings(deadline=None)
@given(seed=st.integers(0, 10_000), n_values=st.integers(2, 40), frames=st.integers(1, 4))
def test_aupro_equals_a_literal_integration(seed: int, n_values: int, frames: int) -> None:
    random = np.random.default_rng(seed)
    maps = random.integers(0, n_values, (frames, 8, 8)).astype(np.float32)
    masks = random.random((frames, 8, 8)) < 0.2
    masks[0, 2:4, 2:5] = True
    masks[0, 7, 7] = False
    pixels = PixelScores()
    for anomaly_map, mask in zip(maps, masks, strict=True):
        pixels.add(anomaly_map, mask)
    pixels.finish()
    found = localisation([pixels])
    assert found.aupro == pytest.approx(literal_aupro(maps, masks, 0.3))
    assert found.pixel_auroc == pytest.approx(roc_auc_score(masks.ravel(), maps.ravel()))


def test_groups_of_frames_count_as_if_they_were_one() -> None:
    random = np.random.default_rng(0)
    maps = random.random((2, 8, 8)).astype(np.float32)
    masks = np.zeros((2, 8, 8), dtype=bool)
    masks[1, 3:5, 3:5] = True
    together, good, defect = PixelScores(), PixelScores(), PixelScores()
    for group, number in ((together, 0), (together, 1), (good, 0), (defect, 1)):
        group.add(maps[number], masks[number])
    for group in (together, good, defect):
        group.finish()
    one, two = localisation([together]), localisation([good, defect])
    assert (one.aupro, one.pixel_auroc) == pytest.approx((two.aupro, two.pixel_auroc))


def test_without_masks_there_are_no_pixel_metrics() -> None:
    pixels = PixelScores()
    pixels.add(np.ones((4, 4), np.float32), np.zeros((4, 4), dtype=bool))
    pixels.finish()
    assert localisation([pixels]).aupro is None
