from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from qc_worker.domain.errors import TrainingError
from tests.unit.trainer.factories import INPUT_SIZE, no_progress, small_scorer
from trainer.features import PatchFeatures, channel_statistics, collect_features, standardise

PATCHES_PER_FRAME = (INPUT_SIZE // 8) ** 2


def batches() -> Iterator[Tensor]:
    random = torch.Generator().manual_seed(0)
    for count in (2, 1):
        yield torch.randint(0, 256, (count, 3, INPUT_SIZE, INPUT_SIZE), dtype=torch.uint8, generator=random)


def collect(tmp_path: Path, max_bytes: int) -> PatchFeatures:
    return collect_features(
        small_scorer(tmp_path), batches(), n_frames=3, max_bytes=max_bytes, seed=0, advance=no_progress
    )


def test_standardised_patches_are_the_embeddings_frame_after_frame(tmp_path: Path) -> None:
    features = collect(tmp_path, 1 << 30)
    scorer = small_scorer(tmp_path)
    embedded = torch.cat([scorer.embed(pixels) for pixels in batches()])
    rows = embedded.permute(0, 2, 3, 1).reshape(-1, scorer.channels)
    torch.testing.assert_close(features.patches, (rows - rows.mean(0)) / rows.std(0), atol=1e-2, rtol=1e-3)
    torch.testing.assert_close(features.standardiser(rows), features.patches, atol=1e-4, rtol=1e-4)


def test_beyond_the_memory_allowed_every_frame_keeps_the_same_number_of_patches(tmp_path: Path) -> None:
    whole = collect(tmp_path, 1 << 30).patches
    some = collect(tmp_path, whole.numel() * 4 // 5).patches
    assert len(some) == 3 * (PATCHES_PER_FRAME // 5)
    assert torch.equal(some, collect(tmp_path, whole.numel() * 4 // 5).patches)


def test_memory_for_not_even_one_patch_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="--max-feature-mib"):
        collect(tmp_path, 100)


def test_statistics_equal_torchs() -> None:
    patches = torch.randn(70_000, 3, generator=torch.Generator().manual_seed(0)) * 5 + 100
    mean, std = channel_statistics(patches)
    torch.testing.assert_close(mean, patches.double().mean(0))
    torch.testing.assert_close(std, patches.double().std(0, correction=0))


def test_features_that_are_not_finite_are_refused() -> None:
    with pytest.raises(TrainingError, match="not finite"):
        standardise(torch.tensor([[1.0], [float("nan")]]))
