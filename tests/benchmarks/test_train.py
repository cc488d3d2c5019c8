"""The rivals of `benchmarks/train.py` on tiny pictures; our own side is the command that other tests run."""

from pathlib import Path

import pytest

from benchmarks.rivals.training import PAPER_BATCH_SIZE, PAPER_EPOCHS, Subject, fit_patchcore, paper_slice
from qc_worker.imaging.image_files import image_files
from qc_worker.simplenet.backbones.backbone import load_backbone
from qc_worker.simplenet.backbones.weights import packaged_efficientnet_lite0
from tests.unit.trainer.factories import write_images


def subject(folder: Path) -> Subject:
    return Subject(
        backbone=load_backbone("efficientnet_lite0", levels=(16,), weights_dir=folder),
        weights=packaged_efficientnet_lite0(folder),
        good=tuple(image_files(write_images(folder / "good", 10))),
        test_good=tuple(image_files(write_images(folder / "test", 3, first_seed=100))),
        test_defect=tuple(image_files(write_images(folder / "blot", 3, first_seed=200, defect=True))),
        input_size=(64, 64),
    )


def test_a_slice_of_the_papers_schedule_says_what_all_of_it_takes(tmp_path: Path) -> None:
    found = paper_slice(subject(tmp_path), tmp_path / "scratch", steps=2)
    batches_per_epoch = -(-10 // PAPER_BATCH_SIZE)
    assert found.factor == PAPER_EPOCHS * batches_per_epoch / 2
    assert found.extrapolated_s == pytest.approx(found.slice_s * found.factor)
    assert found.slice_s > 0


def test_patchcore_is_fitted_to_as_many_frames_as_allowed_and_tells_a_plain_defect(tmp_path: Path) -> None:
    pytest.importorskip("anomalib", reason="an extra: pip install 'qc-worker[bench]'")
    found = fit_patchcore(subject(tmp_path), tmp_path / "scratch", max_frames=5)
    assert (found.frames, found.frames_factor) == (5, 2.0)
    assert found.extrapolated_s == pytest.approx(2 * found.features_s + 4 * found.coreset_s)
    assert found.coreset_patches == 5 * 16 // 10
    assert found.image_auroc == 1.0
