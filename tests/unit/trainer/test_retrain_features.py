"""What a retrain keeps of frames, and what its mask head is made of."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from qc_worker.domain.errors import TrainingError
from tests.unit.trainer.factories import INPUT_SIZE, filled_store
from tests.unit.trainer.workshop import QUICK, REQUEST, SPLIT, Workshop
from trainer.commands.retrain import retrained_document
from trainer.features.cache import FeatureCache
from trainer.features.extract import FeatureCounts
from trainer.fitting import train
from trainer.progress import stages


def test_new_samples_are_all_that_a_second_retrain_computes_features_of(tmp_path: Path) -> None:
    workshop = Workshop(tmp_path, good=60)
    first = workshop.retrain(SPLIT, offline=True).trained
    assert (first.features.computed, first.features.cached) == (30, 0)
    assert workshop.retrain(SPLIT, offline=True).trained.features == FeatureCounts(computed=0, cached=30)
    filled_store(tmp_path / "samples", good=68)
    second = workshop.retrain(replace(SPLIT, max_false_reject=0.05), offline=True).trained
    assert 0 < second.features.computed <= 8 + 11  # 11 fewer are held out for the larger rate
    assert workshop.retrain(offline=True).trained.features.computed <= 68 - 30 - second.features.computed
    filled_store(tmp_path / "samples", good=70)
    assert workshop.retrain(offline=True).trained.features == FeatureCounts(computed=2, cached=68)


def test_kept_features_give_the_head_that_computing_them_anew_gives(tmp_path: Path) -> None:
    workshop = Workshop(tmp_path, good=60)
    warm = [workshop.retrain(replace(REQUEST, dry_run=True)) for _ in range(2)][1]
    for path in sorted((tmp_path / "features").glob("*/*.features"))[::3]:
        path.write_bytes(path.read_bytes()[:-8])
    mended = workshop.retrain(replace(REQUEST, dry_run=True))
    assert mended.trained.features.computed > 0
    assert mended.card.head_sha256 == warm.card.head_sha256
    shutil.rmtree(tmp_path / "features")
    cold = workshop.retrain(replace(REQUEST, dry_run=True))
    assert cold.trained.features.cached == 0
    assert cold.card.head_sha256 == warm.card.head_sha256


def test_without_a_mask_head_that_learned_the_model_goes_live_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise TrainingError("the head did not learn")

    monkeypatch.setattr(train, "fit_mask_head", fails)
    card = Workshop(tmp_path).retrain().card
    assert card.head.mask_head is None
    assert card.calibration.mask_baseline is not None


def test_a_retrained_line_has_a_mask_head_on_finer_cells(tmp_path: Path) -> None:
    card = Workshop(tmp_path).retrain().card
    assert card.head.mask_head is not None
    assert card.head.mask_head.cells == card.embedding.mask_grid == (INPUT_SIZE // 4, INPUT_SIZE // 4)
    assert len(card.head.mask_head.level_channels) == len(card.embedding.mask_levels)


def test_synthetic_defects_are_kept_and_not_drawn_again(tmp_path: Path) -> None:
    workshop = Workshop(tmp_path)
    dry = replace(REQUEST, fit=QUICK.model_copy(update={"synthetic_frames": 30}), dry_run=True)
    first = workshop.retrain(dry)
    files = {path: path.stat().st_ino for path in (tmp_path / "features").glob("*/*.features")}
    assert sum("-" in path.stem for path in files) == 2 * 30  # coarse cells and fine ones
    again = workshop.retrain(dry)
    assert files == {path: path.stat().st_ino for path in (tmp_path / "features").glob("*/*.features")}
    assert again.card.head_sha256 == first.card.head_sha256


def test_held_out_frames_have_no_features_and_no_synthetic_defect(tmp_path: Path) -> None:
    card = Workshop(tmp_path).retrain(replace(SPLIT, dry_run=True)).card
    kept = {path.stem.split("-")[0] for path in (tmp_path / "features").glob("*/*.features")}
    assert kept == set(card.samples.training)


def test_a_line_that_learns_nothing_needs_no_synthetic_defects(tmp_path: Path) -> None:
    fit = QUICK.model_copy(update={"learned_weight": 0.0})
    retrained = Workshop(tmp_path, defect=3).retrain(replace(REQUEST, fit=fit, dry_run=True))
    assert retrained.card.head.discriminators == ()
    assert retrained_document(retrained)["closing_loss"] == 0
    assert retrained.trained.defects is not None
    assert retrained.trained.defects.image_auroc > 0.9
    assert not [path for path in (tmp_path / "features").glob("*/*.features") if "-" in path.stem]


def test_features_that_do_not_fit_their_limit_are_refused_before_anything_is_computed(tmp_path: Path) -> None:
    workshop = Workshop(tmp_path)
    retrainer = replace(workshop.retrainer(None), features=FeatureCache(tmp_path / "features", max_bytes=1000))
    with stages() as shown, pytest.raises(TrainingError, match="--max-feature-mib"):
        retrainer.run(REQUEST, shown)
    assert not list((tmp_path / "features").glob("*/*.features"))
