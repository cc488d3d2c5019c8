"""Batches that are padded, and heads that are stacked, as a scorer does on a GPU."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch

from benchmarks.harness.operator_watch import Operators
from qc_worker.imaging.preprocessing import content_box
from qc_worker.simplenet.backbones.backbone import load_backbone
from qc_worker.simplenet.inference.buckets import bucket, bucket_sizes, filled, filled_pixels
from qc_worker.simplenet.inference.folded import FoldedHead
from qc_worker.simplenet.inference.scored import Scored
from qc_worker.simplenet.inference.scorer import Scorer
from qc_worker.simplenet.inference.tuning import Tuning, tuning_for
from tests.unit.simplenet.factories import SmallMemory, a_head, an_embedding_spec, random_weights, some_pixels

CPU = torch.device("cpu")
AS_ON_A_GPU = Tuning(stacked_heads=True, padded_batches=True)


class Watched(Scorer):
    """Notes the sizes of the batches that enter the backbone."""

    def watch(self) -> list[int]:
        sizes: list[int] = []
        compute = self._compute_levels

        def noted(pixels: torch.Tensor) -> list[torch.Tensor]:
            sizes.append(len(pixels))
            return compute(pixels)

        self._compute_levels = noted
        return sizes


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_weights(tmp_path_factory.mktemp("weights"))


def a_scorer(weights: Path, kind: type[Scorer] = Scorer, tuning: Tuning | None = None) -> Scorer:
    backbone = load_backbone("efficientnet_lite0", levels=(4, 8, 16), weights_dir=Path(), file=weights)
    spec = an_embedding_spec(weights_sha256=backbone.weights_sha256, mask_levels=(4, 8))
    return kind(backbone, spec, CPU, tuning=tuning)


def some_heads(scorer: Scorer, lines: int) -> list[FoldedHead]:
    """Every other line has an ignored area, and every third no mask head."""
    heads = []
    for line in range(lines):
        head = a_head(scorer.level_channels, 8, seed=line)
        if line % 3:
            head.adopt(a_head(scorer.mask_channels, 8, seed=100 + line, cells=(16, 16)))
        ignored = np.zeros((64, 64), dtype=np.bool_)
        ignored[: 8 * line % 48, 10:40] = True
        heads.append(scorer.take_in(head, ignored if line % 2 else None))
    return heads


def assert_same(found: Scored, expected: Scored) -> None:
    assert len(found.scores) == len(found.maps) == len(expected.scores)
    judged = expected.maps[expected.maps.isfinite()]
    scale = float(judged.max() - judged.min()) + 1
    torch.testing.assert_close(found.scores, expected.scores, rtol=0, atol=1e-5 * scale)
    torch.testing.assert_close(found.maps, expected.maps, rtol=0, atol=1e-4 * scale)
    for index in range(len(expected.scores)):
        one, other = found.mask_map_of(index), expected.mask_map_of(index)
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4 * scale)


@pytest.mark.parametrize(
    ("limit", "sizes"), [(1, (1,)), (8, (1, 2, 4, 8)), (6, (1, 2, 4, 6)), (64, (1, 2, 4, 8, 16, 32, 64))]
)
def test_sizes_double_up_to_the_largest_batch(limit: int, sizes: tuple[int, ...]) -> None:
    assert bucket_sizes(limit) == sizes
    for count in range(1, limit + 1):
        assert count <= bucket(count, sizes) < max(2 * count, 2)


def test_a_batch_that_fits_no_size_stays_as_it_is() -> None:
    assert bucket(9, (1, 2, 4, 8)) == 9
    assert bucket(3, ()) == 3


def test_a_full_batch_is_not_copied() -> None:
    pixels = some_pixels(4)
    assert filled_pixels(pixels, 4) is pixels
    heads = ["a", "b"]
    assert filled(heads, 2) is heads
    assert filled(heads, 4) == ["a", "b", "b", "b"]


def test_padding_keeps_the_memory_layout_that_kernels_are_compiled_for() -> None:
    pixels = some_pixels(3).contiguous(memory_format=torch.channels_last)
    padded = filled_pixels(pixels, 4)
    assert padded.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(padded[:3], pixels)


class Side(NamedTuple):
    """A scorer and the heads of 32 lines."""

    scorer: Scorer
    heads: list[FoldedHead]


@pytest.fixture(scope="module")
def plain(weights: Path) -> Side:
    scorer = a_scorer(weights)
    return Side(scorer, some_heads(scorer, 32))


@pytest.fixture(scope="module")
def padded(weights: Path) -> Side:
    scorer = a_scorer(weights, tuning=AS_ON_A_GPU)
    scorer.warm_up([1, 8])
    return Side(scorer, some_heads(scorer, 32))


@pytest.mark.parametrize("frames", [1, 2, 3, 5, 7, 8])
@pytest.mark.parametrize("lines", [1, 3, 32])
def test_padded_and_stacked_scores_are_those_of_a_plain_batch(
    plain: Side, padded: Side, frames: int, lines: int
) -> None:
    order = [(3 * frame * frame) % lines for frame in range(frames)]
    boxes = [content_box((48 + 8 * (frame % 3), 64), (64, 64), "pad") for frame in range(frames)]
    expected, found = (
        side.scorer.score(some_pixels(frames), [side.heads[line] for line in order], boxes=boxes)
        for side in (plain, padded)
    )
    assert_same(found, expected)


def test_nothing_waits_for_the_device_before_a_batch_is_scored(weights: Path) -> None:
    scorer = a_scorer(weights, tuning=AS_ON_A_GPU)
    heads = some_heads(scorer, 5)
    scorer.score(some_pixels(5), heads)
    with Operators() as seen:
        scorer.score(some_pixels(5), heads)
    assert seen.waiting == []


def test_every_size_that_a_batch_is_padded_to_is_warmed_up(weights: Path) -> None:
    scorer = a_scorer(weights, Watched, AS_ON_A_GPU)
    sizes = scorer.watch()  # type: ignore[attr-defined]
    scorer.warm_up([1, 6])
    assert sorted(sizes) == [1, 2, 4, 6]
    head = some_heads(scorer, 1)
    for frames in range(1, 7):
        scorer.score(some_pixels(frames), head * frames)
    assert set(sizes) == {1, 2, 4, 6}


def test_a_cpu_is_left_as_it_was(weights: Path) -> None:
    assert tuning_for(CPU) == Tuning(stacked_heads=False, padded_batches=False)
    scorer = a_scorer(weights, Watched)
    sizes = scorer.watch()  # type: ignore[attr-defined]
    scorer.warm_up([1, 8])
    scorer.score(some_pixels(5), some_heads(scorer, 1) * 5)
    assert sizes == [1, 8, 1, 5]


def test_cuda_has_stacked_heads_and_padded_batches() -> None:
    assert tuning_for(torch.device("cuda")) == AS_ON_A_GPU


def test_no_batch_is_padded_to_a_size_that_does_not_fit_the_device(weights: Path) -> None:
    small = a_scorer(weights, SmallMemory, AS_ON_A_GPU)
    small.warm_up([1, 8])
    plain = a_scorer(weights)
    expected = plain.score(some_pixels(7), some_heads(plain, 1) * 7)
    found = small.score(some_pixels(7), some_heads(small, 1) * 7)
    assert_same(found, expected)
