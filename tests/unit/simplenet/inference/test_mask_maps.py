"""Maps that masks are made of, by a second head on finer cells."""

from pathlib import Path

import numpy as np
import pytest
import torch

from qc_worker.domain.errors import ModelError
from qc_worker.simplenet.anomaly_map import MASK_SIGMA_PX, anomaly_maps
from qc_worker.simplenet.backbones.backbone import load_backbone
from qc_worker.simplenet.head import Head
from qc_worker.simplenet.inference.scorer import Scorer
from tests.unit.simplenet.factories import SmallMemory, a_head, an_embedding_spec, random_weights, some_pixels

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_weights(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def scorer(weights: Path) -> Scorer:
    """Without mask levels."""
    backbone = load_backbone("efficientnet_lite0", levels=(8, 16), weights_dir=Path(), file=weights)
    return Scorer(backbone, an_embedding_spec(weights_sha256=backbone.weights_sha256), CPU)


@pytest.fixture(scope="module")
def finer(weights: Path) -> Scorer:
    backbone = load_backbone("efficientnet_lite0", levels=(4, 8, 16), weights_dir=Path(), file=weights)
    return Scorer(backbone, an_embedding_spec(weights_sha256=backbone.weights_sha256, mask_levels=(4, 8)), CPU)


def head_with_mask_head(scorer: Scorer, seed: int = 1) -> Head:
    head = a_head(scorer.level_channels, 8, seed=seed)
    head.adopt(a_head(scorer.mask_channels, 8, seed=seed + 1, cells=(16, 16)))
    return head


def test_the_map_of_masks_is_that_of_the_plain_mask_head(finer: Scorer) -> None:
    head = head_with_mask_head(finer)
    assert head.mask_head is not None
    scored = finer.score(some_pixels(3), [finer.take_in(head)] * 3)
    _, embedding = finer.embed_twice(some_pixels(3))
    assert embedding is not None
    plain = anomaly_maps(head.mask_head.patch_scores(embedding), (64, 64), MASK_SIGMA_PX)
    for index in range(3):
        found = torch.from_numpy(scored.mask_map_of(index))
        torch.testing.assert_close(found, plain[index], rtol=1e-4, atol=1e-4 * float(plain.abs().max()))


def test_a_mask_head_changes_neither_scores_nor_maps(scorer: Scorer, finer: Scorer) -> None:
    head, plain = head_with_mask_head(finer), a_head(scorer.level_channels, 8, seed=1)
    one = finer.score(some_pixels(2), [finer.take_in(head)] * 2)
    other = scorer.score(some_pixels(2), [scorer.take_in(plain)] * 2)
    torch.testing.assert_close(one.scores, other.scores)
    torch.testing.assert_close(one.maps, other.maps)
    torch.testing.assert_close(scorer.embed(some_pixels(2)), finer.embed(some_pixels(2)))


def test_frames_without_a_mask_head_have_their_anomaly_map_for_it(finer: Scorer) -> None:
    heads = [finer.take_in(head_with_mask_head(finer)), finer.take_in(a_head(finer.level_channels, 8))]
    scored = finer.score(some_pixels(2), heads)
    assert np.array_equal(scored.mask_map_of(1), scored.map_of(1))
    assert not np.array_equal(scored.mask_map_of(0), scored.map_of(0))


def test_masks_of_a_batch_in_halves_are_those_of_the_whole(weights: Path, finer: Scorer) -> None:
    backbone = load_backbone("efficientnet_lite0", levels=(4, 8, 16), weights_dir=Path(), file=weights)
    small = SmallMemory(backbone, finer.spec, CPU)
    heads = [finer.take_in(head_with_mask_head(finer, seed)) for seed in range(5)]
    expected, found = finer.score(some_pixels(5), heads), small.score(some_pixels(5), heads)
    for index in range(5):
        one, other = found.mask_map_of(index), expected.mask_map_of(index)
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-3)


def test_what_is_not_judged_is_in_no_mask(finer: Scorer) -> None:
    ignored = np.zeros((64, 64), dtype=np.bool_)
    ignored[:, :20] = True
    head = finer.take_in(head_with_mask_head(finer), ignored)
    assert np.array_equal(np.isneginf(finer.score(some_pixels(1), [head]).mask_map_of(0)), ignored)


def test_a_mask_head_that_does_not_fit_is_refused(scorer: Scorer, finer: Scorer) -> None:
    with pytest.raises(ModelError, match="channels"):
        scorer.take_in(head_with_mask_head(finer))
    broken = head_with_mask_head(finer)
    assert broken.mask_head is not None
    broken.mask_head.offset.fill_(float("nan"))
    with pytest.raises(ModelError, match="not numbers"):
        finer.take_in(broken)
