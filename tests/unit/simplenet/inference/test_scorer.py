from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from qc_worker.domain.errors import ModelError
from qc_worker.imaging.preprocessing import Box, content_box
from qc_worker.simplenet.anomaly_map import TOP_SHARE, anomaly_maps, image_scores
from qc_worker.simplenet.backbones.backbone import Backbone, load_backbone
from qc_worker.simplenet.inference import scorer as scorer_module
from qc_worker.simplenet.inference.device_errors import LACK_OF_MEMORY
from qc_worker.simplenet.inference.device_memory import GROW_AFTER_S, BatchLimit
from qc_worker.simplenet.inference.folded import FoldedHead
from qc_worker.simplenet.inference.scorer import Scorer
from tests.support.factories import ManualClock
from tests.unit.simplenet.factories import SmallMemory, a_head, an_embedding_spec, random_weights, some_pixels

CPU = torch.device("cpu")
SLEEP_CYCLES = 1_000_000_000
"""Half a second or more of a GPU."""
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU, and there is none here")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_weights(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def backbone(weights: Path) -> Backbone:
    return load_backbone("efficientnet_lite0", levels=(8, 16), weights_dir=Path(), file=weights)


@pytest.fixture(scope="module")
def scorer(backbone: Backbone) -> Scorer:
    return Scorer(backbone, an_embedding_spec(weights_sha256=backbone.weights_sha256), CPU)


def two_heads(scorer: Scorer) -> tuple[FoldedHead, FoldedHead]:
    return (
        scorer.take_in(a_head(scorer.level_channels, 8, seed=1)),
        scorer.take_in(a_head(scorer.level_channels, 16, seed=2)),
    )


def test_a_batch_of_mixed_lines_scores_as_each_frame_alone(scorer: Scorer) -> None:
    first, second = two_heads(scorer)
    pixels, heads = some_pixels(5), [first, second, first, first, second]
    together = scorer.score(pixels, heads)
    alone = [scorer.score(pixels[index : index + 1], [head]) for index, head in enumerate(heads)]
    torch.testing.assert_close(together.maps, torch.cat([one.maps for one in alone]), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(together.scores, torch.cat([one.scores for one in alone]), rtol=1e-3, atol=1e-3)


def test_the_folded_path_gives_the_maps_of_the_plain_one(scorer: Scorer) -> None:
    head = a_head(scorer.level_channels, 16)
    cells = head.patch_scores(scorer.embed(some_pixels(3)))
    plain = anomaly_maps(cells, (64, 64))
    scored = scorer.score(some_pixels(3), [scorer.take_in(head)] * 3)
    torch.testing.assert_close(scored.scores, image_scores(cells), rtol=1e-4, atol=1e-4 * float(cells.abs().max()))
    torch.testing.assert_close(scored.maps, plain, rtol=1e-4, atol=1e-4 * float(plain.abs().max()))
    torch.testing.assert_close(torch.from_numpy(scored.map_of(2)), scored.maps[2])


def test_a_level_finer_than_the_grid_has_no_say_in_its_size(backbone: Backbone) -> None:
    coarse = Scorer(backbone, an_embedding_spec(weights_sha256=backbone.weights_sha256, grid_stride=16), CPU)
    embedding = coarse.embed(some_pixels(1))
    assert embedding.shape == (1, coarse.channels, 4, 4)
    head = a_head(coarse.level_channels, 16, cells=(4, 4))
    scored = coarse.score(some_pixels(1), [coarse.take_in(head)])
    plain = anomaly_maps(head.patch_scores(embedding), (64, 64))
    torch.testing.assert_close(scored.maps, plain, rtol=1e-4, atol=1e-4 * float(plain.abs().max()))


def test_a_rectangle_is_scored_like_a_square(backbone: Backbone) -> None:
    spec = an_embedding_spec(weights_sha256=backbone.weights_sha256, input_size=(64, 96))
    scorer = Scorer(backbone, spec, CPU)
    scorer.warm_up([1, 2])
    pixels = torch.randint(0, 256, (2, 3, 64, 96), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    head = a_head(scorer.level_channels, 16, cells=(8, 12))
    scored = scorer.score(pixels, [scorer.take_in(head)] * 2)
    plain = anomaly_maps(head.patch_scores(scorer.embed(pixels)), (64, 96))
    assert scored.maps.shape == (2, 64, 96)
    torch.testing.assert_close(scored.maps, plain, rtol=1e-4, atol=1e-4 * float(plain.abs().max()))


def mean_of_highest(cells: Tensor, box: Box) -> float:
    """Of 8 x 8 pixels each, those whose centres lie in the box, at least the one in its middle."""
    inside = [
        float(cells[row, column])
        for row, column in np.ndindex(8, 8)
        if box.top <= 8 * row + 4 < box.top + box.height and box.left <= 8 * column + 4 < box.left + box.width
    ]
    highest = sorted(inside, reverse=True)[: max(1, round(TOP_SHARE * len(inside)))]
    return sum(highest) / len(highest)


def test_padding_has_no_say_in_the_score_however_a_batch_is_judged(backbone: Backbone, scorer: Scorer) -> None:
    head, _ = two_heads(scorer)
    boxes = [content_box(size, (64, 64), "pad") for size in ((48, 96), (96, 48), (64, 64), (10, 20), (20, 10))]
    scored = scorer.score(some_pixels(5), [head] * 5, boxes=boxes)
    cells = a_head(scorer.level_channels, 8, seed=1).patch_scores(scorer.embed(some_pixels(5)))
    expected = [mean_of_highest(one, box) for one, box in zip(cells, boxes, strict=True)]
    torch.testing.assert_close(scored.scores, torch.tensor(expected), rtol=1e-3, atol=1e-3)
    in_halves = SmallMemory(backbone, scorer.spec, CPU).score(some_pixels(5), [head] * 5, boxes=boxes)
    torch.testing.assert_close(in_halves.scores, scored.scores, rtol=1e-3, atol=1e-3)


def test_lengths_of_frames_and_heads_must_agree(scorer: Scorer) -> None:
    with pytest.raises(ValueError, match="2 frames but 1 heads"):
        scorer.score(some_pixels(2), [two_heads(scorer)[0]])


def test_a_head_for_other_channels_is_refused(scorer: Scorer) -> None:
    first, *others = scorer.level_channels
    with pytest.raises(ModelError, match="channels"):
        scorer.take_in(a_head((first + 1, *others)))


def test_a_head_that_scores_nan_is_refused(scorer: Scorer) -> None:
    head = a_head(scorer.level_channels)
    head.offset.fill_(float("nan"))
    with pytest.raises(ModelError, match="not numbers"):
        scorer.take_in(head)


def test_a_backbone_with_other_weights_is_refused(backbone: Backbone) -> None:
    with pytest.raises(ModelError, match="other weights"):
        Scorer(backbone, an_embedding_spec(), CPU)


def test_other_levels_are_refused(backbone: Backbone) -> None:
    spec = an_embedding_spec(weights_sha256=backbone.weights_sha256, levels=(16, 32))
    with pytest.raises(ModelError, match="expected efficientnet_lite0"):
        Scorer(backbone, spec, CPU)


def test_embeddings_can_be_trained_on(scorer: Scorer) -> None:
    head = a_head(scorer.level_channels).requires_grad_(True)
    patches = scorer.embed(some_pixels(1)).permute(0, 2, 3, 1).reshape(-1, scorer.channels)
    sum(adapted.sum() for adapted in head.adapt(patches)).backward()  # type: ignore[union-attr]
    assert all(adaptor.projection.weight.grad is not None for adaptor in head.adaptors)


def test_a_batch_too_large_for_the_device_is_judged_in_halves(backbone: Backbone, scorer: Scorer) -> None:
    small = SmallMemory(backbone, scorer.spec, CPU)
    head, _ = two_heads(scorer)
    expected = scorer.score(some_pixels(7), [head] * 7)
    torch.testing.assert_close(small.score(some_pixels(7), [head] * 7).maps, expected.maps, rtol=1e-3, atol=1e-3)
    small.largest_tried = 0
    small.score(some_pixels(7), [head] * 7)
    assert small.largest_tried <= 3  # it has learned


@pytest.mark.parametrize("words", LACK_OF_MEMORY)
def test_lack_of_memory_that_a_library_reports_halves_a_batch_too(
    backbone: Backbone, scorer: Scorer, words: str
) -> None:
    class NoWorkspace(Scorer):
        def _to_device(self, pixels: Tensor) -> Tensor:
            if len(pixels) > 3:
                raise RuntimeError(f"{words} when calling `something`")
            return super()._to_device(pixels)

    head, _ = two_heads(scorer)
    expected = scorer.score(some_pixels(7), [head] * 7)
    halved = NoWorkspace(backbone, scorer.spec, CPU).score(some_pixels(7), [head] * 7)
    torch.testing.assert_close(halved.scores, expected.scores, rtol=1e-3, atol=1e-3)


def test_batches_are_whole_again_once_there_is_memory(backbone: Backbone, scorer: Scorer) -> None:
    clock, small = ManualClock(), SmallMemory(backbone, scorer.spec, CPU)
    small._limit = BatchLimit(clock.monotonic)
    head, _ = two_heads(scorer)
    small.score(some_pixels(4), [head] * 4)
    small.most_frames, small.largest_tried = 4, 0
    small.score(some_pixels(4), [head] * 4)
    assert small.largest_tried == 2
    clock.advance(GROW_AFTER_S)
    small.score(some_pixels(4), [head] * 4)
    assert small.largest_tried == 4


def test_a_single_frame_too_large_for_the_device_is_the_devices_error(backbone: Backbone, scorer: Scorer) -> None:
    class NoMemory(SmallMemory):
        def _to_device(self, pixels: Tensor) -> Tensor:
            raise torch.OutOfMemoryError(f"no room for {len(pixels)}")

    head, _ = two_heads(scorer)
    with pytest.raises(torch.OutOfMemoryError):
        NoMemory(backbone, scorer.spec, CPU).score(some_pixels(2), [head] * 2)


def test_warming_up_finds_how_much_fits_the_device(backbone: Backbone, scorer: Scorer) -> None:
    small = SmallMemory(backbone, scorer.spec, CPU)
    small.warm_up([1, 8])
    small.largest_tried = 0
    head, _ = two_heads(scorer)
    small.score(some_pixels(8), [head] * 8)
    assert small.largest_tried <= 3


def test_what_fits_the_device_is_compiled(backbone: Backbone, scorer: Scorer, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[int] = []

    def compiled(levels: object, *, max_batch_size: int, **_: object) -> object:
        tried.append(max_batch_size)
        if max_batch_size > 3:
            raise torch.OutOfMemoryError("no room")
        return levels

    monkeypatch.setattr(scorer_module, "compiled", compiled)
    small = SmallMemory(backbone, scorer.spec, CPU)
    small.compile(8)
    assert tried == [8, 4, 2]
    head, _ = two_heads(scorer)
    small.score(some_pixels(8), [head] * 8)
    assert small.largest_tried <= 2


def in_float16(weights: Path) -> Scorer:
    own = load_backbone("efficientnet_lite0", levels=(8, 16), weights_dir=Path(), file=weights)
    return Scorer(own, an_embedding_spec(weights_sha256=own.weights_sha256), CPU, torch.float16)


def test_float16_scores_lie_beside_float32s(weights: Path, scorer: Scorer) -> None:
    half, head = in_float16(weights), a_head(scorer.level_channels, 16)
    folded = half.take_in(head)
    assert folded.discriminators[0].bias.dtype is torch.float32
    scored, exact = half.score(some_pixels(4), [folded] * 4), scorer.score(some_pixels(4), [scorer.take_in(head)] * 4)
    assert scored.precision == "float16"
    assert float((scored.maps - exact.maps).abs().max()) < 0.01 * float(exact.maps.abs().max())


@pytest.mark.parametrize("beyond", [float("inf"), float("-inf")])
def test_what_float16_cannot_hold_is_no_score_and_never_a_pass(weights: Path, beyond: float) -> None:
    half = in_float16(weights)
    folded = half.take_in(a_head(half.level_channels, 16))
    compute = half._compute_levels

    def second_frame_beyond(pixels: Tensor) -> list[Tensor]:
        levels = compute(pixels)
        if len(pixels) > 1:
            levels[0][1, :, 3, 3] = beyond  # as any number beyond 65,504 is
        return levels

    half._compute_levels = second_frame_beyond
    scores = half.score(some_pixels(3), [folded] * 3).scores
    assert torch.isfinite(scores).tolist() == [True, False, True]


def on_cuda(weights: Path) -> tuple[Scorer, FoldedHead]:
    backbone = load_backbone("efficientnet_lite0", levels=(8, 16), weights_dir=Path(), file=weights)
    spec = an_embedding_spec(weights_sha256=backbone.weights_sha256)
    scorer = Scorer(backbone, spec, torch.device("cuda"))
    return scorer, scorer.take_in(a_head(scorer.level_channels))


@needs_cuda
def test_float32_scores_on_cuda_are_the_cpus(weights: Path, scorer: Scorer) -> None:
    cuda, head = on_cuda(weights)
    expected = scorer.score(some_pixels(4), [scorer.take_in(a_head(scorer.level_channels))] * 4)
    scored = cuda.score(some_pixels(4), [head] * 4)
    scale = float(expected.maps.abs().max())
    torch.testing.assert_close(scored.maps.cpu(), expected.maps, rtol=1e-4, atol=1e-4 * scale)


@needs_cuda
def test_a_batch_is_copied_while_the_one_before_is_computed(weights: Path) -> None:
    scorer, _ = on_cuda(weights)
    pixels = some_pixels(4)
    scorer._to_device(pixels)  # leaves memory to be used again: asking the driver for some may wait for the device
    torch.cuda.synchronize()
    torch.cuda._sleep(SLEEP_CYCLES)  # type: ignore[no-untyped-call]  # torch leaves it out
    copied = scorer._to_device(pixels)
    assert scorer._copies is not None
    scorer._copies.synchronize()
    assert not torch.cuda.current_stream().query()
    torch.testing.assert_close(copied.cpu(), pixels)


@needs_cuda
def test_a_batch_is_read_while_the_next_is_computed(weights: Path) -> None:
    scorer, head = on_cuda(weights)
    scored = scorer.score(some_pixels(4), [head] * 4)
    torch.cuda._sleep(SLEEP_CYCLES)  # type: ignore[no-untyped-call]  # torch leaves it out
    with scored.reading():
        scores, anomaly_map = scored.scores.tolist(), scored.map_of(3)
    assert not torch.cuda.current_stream().query()
    assert scores == scored.scores.tolist()
    assert np.array_equal(anomaly_map, scored.maps[3].cpu().numpy())
