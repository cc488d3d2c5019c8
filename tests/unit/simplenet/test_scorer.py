from pathlib import Path

import pytest
import torch

from qc_worker.domain.errors import ModelError
from qc_worker.simplenet.backbone import Backbone, load_backbone
from qc_worker.simplenet.scorer import Scorer
from tests.unit.simplenet.factories import a_head, an_embedding_spec, random_weights


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    folder = tmp_path_factory.mktemp("weights")
    return load_backbone("efficientnet_lite0", levels=(8, 16), weights_dir=Path(), file=random_weights(folder))


@pytest.fixture(scope="module")
def scorer(backbone: Backbone) -> Scorer:
    spec = an_embedding_spec(weights_sha256=backbone.weights_sha256)
    return Scorer(backbone, spec, torch.device("cpu"))


def some_pixels(count: int) -> torch.Tensor:
    return torch.randint(0, 256, (count, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def test_a_batch_of_mixed_lines_scores_as_each_frame_alone(scorer: Scorer) -> None:
    first, second = a_head(scorer.channels, 8, seed=1), a_head(scorer.channels, 16, seed=2)
    pixels, heads = some_pixels(5), [first, second, first, first, second]
    together = scorer.score(pixels, heads)
    alone = [scorer.score(pixels[index : index + 1], [head]) for index, head in enumerate(heads)]
    torch.testing.assert_close(together.maps, torch.cat([one.maps for one in alone]), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(together.scores, together.maps.amax((1, 2)))


def test_lengths_of_frames_and_heads_must_agree(scorer: Scorer) -> None:
    with pytest.raises(ValueError, match="2 frames but 1 heads"):
        scorer.score(some_pixels(2), [a_head(scorer.channels)])


def test_a_head_for_other_channels_is_refused_at_warm_up(scorer: Scorer) -> None:
    with pytest.raises(ModelError, match="channels"):
        scorer.warm_up(a_head(scorer.channels + 1))


def test_a_head_that_scores_nan_is_refused_at_warm_up(scorer: Scorer) -> None:
    head = a_head(scorer.channels)
    head.discriminator.tail.weight.fill_(float("nan"))
    with pytest.raises(ModelError, match="not numbers"):
        scorer.warm_up(head)


def test_a_backbone_with_other_weights_is_refused(backbone: Backbone) -> None:
    with pytest.raises(ModelError, match="other weights"):
        Scorer(backbone, an_embedding_spec(), torch.device("cpu"))


def test_other_levels_are_refused(backbone: Backbone) -> None:
    spec = an_embedding_spec(weights_sha256=backbone.weights_sha256, levels=(16, 32))
    with pytest.raises(ModelError, match="expected efficientnet_lite0"):
        Scorer(backbone, spec, torch.device("cpu"))


def test_embeddings_can_be_trained_on(scorer: Scorer) -> None:
    head = a_head(scorer.channels).requires_grad_(True)
    patches = scorer.embed(some_pixels(1)).permute(0, 2, 3, 1).reshape(-1, scorer.channels)
    head.discriminator(head.adaptor(patches)).sum().backward()
    assert head.adaptor.projection.weight.grad is not None
