import os
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from qc_worker.domain.errors import SettingsError
from qc_worker.domain.inspection import Verdict
from tests.unit.trainer.factories import LIMITS, LINE, no_progress, small_scorer, write_images
from tests.unit.trainer.workshop import Workshop
from trainer.datasets.labelled_folder import labelled_images
from trainer.datasets.masks import mask_at_input_size
from trainer.judging.evaluate import Evaluator, JudgedImage, watch_nothing
from trainer.judging.figures import Evaluation
from trainer.judging.mask_overlap import median_overlap, overlap
from trainer.releasing.versions import open_model
from trainer.samples.line_regions import write_ignored


def dataset(folder: Path, *, masks: bool = True) -> Path:
    write_images(folder / "test" / "good", 6, first_seed=500)
    write_images(folder / "test" / "blot", 4, first_seed=600, defect=True)
    if masks:
        truth = folder / "ground_truth" / "blot"
        truth.mkdir(parents=True)
        for number in range(600, 604):
            mask = Image.new("L", (48, 48))
            mask.paste(255, (8, 16, 24, 32))
            mask.save(truth / f"{number}_mask.png")
    return folder


def evaluate(tmp_path: Path, folder: Path, seen: list[JudgedImage] | None = None) -> Evaluation:
    workshop = Workshop(tmp_path)
    model = workshop.retrain(offline=True)
    opened = open_model(workshop.models, LINE, model.card.version)
    scorer = small_scorer(tmp_path)
    evaluator = Evaluator(opened, scorer, limits=LIMITS, decode_threads=2)
    watch = seen.append if seen is not None else watch_nothing
    return evaluator.run(labelled_images(folder), advance=no_progress, watch=watch)


def test_a_plain_defect_is_told_from_good_frames(tmp_path: Path) -> None:
    folder = dataset(tmp_path / "set")
    (folder / "test" / "blot" / "broken.png").write_text("not a picture")
    evaluation = evaluate(tmp_path, folder)
    assert (evaluation.n, evaluation.unreadable) == (10, ("blot/broken.png",))
    assert evaluation.image_auroc > 0.9
    assert evaluation.pixel_auroc is not None
    assert evaluation.pixel_auroc > 0.8
    assert evaluation.by_defect["blot"].n == 4
    assert sum(evaluation.verdicts["good"].values()) == 6
    assert evaluation.by_defect["blot"].image_auroc == pytest.approx(evaluation.image_auroc)


def test_recall_and_masks_of_all_kinds_are_those_of_the_kinds(tmp_path: Path) -> None:
    evaluation = evaluate(tmp_path, dataset(tmp_path / "set"))
    (blot,) = evaluation.by_defect.values()
    assert evaluation.recall_at == blot.recall_at
    assert list(blot.recall_at) == ["0.01", "0.02", "0.05"]
    assert evaluation.reject_rate == blot.reject_rate
    assert (evaluation.masks.found, evaluation.masks.missing, blot.masks) == (4, 0, 4)
    assert evaluation.mask_overlap == blot.mask_overlap


def test_overlap_is_that_of_the_masks_that_are_published(tmp_path: Path) -> None:
    seen: list[JudgedImage] = []
    evaluation = evaluate(tmp_path, dataset(tmp_path / "set"), seen)
    assert len(seen) == evaluation.n
    assert all((each.mask is None) == (each.verdict is Verdict.PASS) for each in seen)
    rejected = [each for each in seen if each.verdict is Verdict.REJECT and each.image.kind != "good"]
    assert rejected
    found = [overlap(each.mask, each.truth) for each in rejected]  # type: ignore[arg-type]  # both are there
    assert evaluation.mask_overlap == median_overlap([each for each in found if each])
    assert evaluation.mask_overlap is not None
    assert evaluation.mask_overlap.iou > 0.3


def test_defects_in_the_ignored_area_are_counted_and_left_out_of_pixel_metrics(tmp_path: Path) -> None:
    ignored = np.zeros((48, 48), dtype=bool)
    ignored[:, :26] = True
    write_ignored(tmp_path / "samples", LINE, ignored)
    folder, seen = dataset(tmp_path / "set"), list[JudgedImage]()
    mask = Image.new("L", (48, 48))
    mask.paste(255, (20, 16, 36, 32))
    mask.save(folder / "ground_truth" / "blot" / "603_mask.png")
    evaluation = evaluate(tmp_path, folder, seen)
    assert (evaluation.ignored_defects, evaluation.masks.found, evaluation.n) == (3, 4, 10)
    assert all(np.isneginf(each.anomaly_map[:, :34]).all() for each in seen)
    assert evaluation.pixel_auroc is not None  # of what is judged of the last one
    assert evaluation.reject_rate < 1


def test_missing_masks_are_counted_and_their_names_given(tmp_path: Path) -> None:
    folder = dataset(tmp_path / "set")
    (folder / "ground_truth" / "blot" / "600_mask.png").unlink()
    masks = evaluate(tmp_path, folder).masks
    assert (masks.found, masks.missing, masks.without) == (3, 1, ("blot/600.png",))
    assert "ground_truth/<kind>/<stem>_mask.EXT" in masks.looked_for
    assert "png" in masks.extensions


def test_masks_that_cannot_be_read_or_mark_nothing_are_named_and_the_rest_is_measured(tmp_path: Path) -> None:
    folder = dataset(tmp_path / "set")
    masks = folder / "ground_truth" / "blot"
    (masks / "600_mask.png").write_text("no picture")
    Image.new("1", (2048, 2048)).save(masks / "601_mask.png")  # more pixels than are decoded
    Image.new("L", (48, 48)).save(masks / "602_mask.png")
    evaluation = evaluate(tmp_path, folder)
    assert (evaluation.masks.found, evaluation.masks.missing) == (2, 2)
    assert evaluation.masks.unreadable == ("blot/600.png", "blot/601.png")
    assert evaluation.masks.empty == ("blot/602.png",)
    assert evaluation.pixel_auroc is not None


def test_masks_in_a_folder_for_each_image_count_together(tmp_path: Path) -> None:
    folder = dataset(tmp_path / "set", masks=False)
    for number, box in enumerate([(8, 16, 16, 32), (16, 16, 24, 32)]):
        part = Image.new("L", (48, 48))
        part.paste(255 - number, box)
        (folder / "ground_truth" / "blot" / "600").mkdir(parents=True, exist_ok=True)
        part.save(folder / "ground_truth" / "blot" / "600" / f"00{number}.png")
    seen: list[JudgedImage] = []
    assert evaluate(tmp_path, folder, seen).masks.found == 1
    (truth,) = [each.truth for each in seen if each.image.kind == "blot" and each.truth is not None]
    assert truth.mean() == pytest.approx(256 / 48**2, abs=0.01)


def test_without_masks_image_metrics_remain(tmp_path: Path) -> None:
    evaluation = evaluate(tmp_path, dataset(tmp_path / "set", masks=False))
    assert (evaluation.pixel_auroc, evaluation.aupro, evaluation.by_defect["blot"].aupro) == (None, None, None)


def test_a_folder_of_another_layout_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no folder test/good"):
        labelled_images(tmp_path)
    write_images(tmp_path / "test" / "good", 1)
    with pytest.raises(SettingsError, match="no images of defects"):
        labelled_images(tmp_path)


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for a file that can be seen and not read")
def test_a_test_image_that_may_not_be_read_is_left_out_like_a_broken_one(tmp_path: Path) -> None:
    folder = dataset(tmp_path / "set")
    (folder / "test" / "blot" / "locked.png").symlink_to("/proc/self/mem")
    evaluation = evaluate(tmp_path, folder)
    assert (evaluation.n, evaluation.unreadable) == (10, ("blot/locked.png",))


def test_names_that_are_no_utf8_come_through(tmp_path: Path) -> None:
    folder = dataset(tmp_path / "set")
    kind = folder / "test" / os.fsdecode(b"br\xfbl\xe9")
    write_images(kind, 1, first_seed=700, defect=True)
    (kind / os.fsdecode(b"\xff.png")).write_text("not a picture")
    evaluation = evaluate(tmp_path, folder)
    assert (evaluation.by_defect["br\\xfbl\\xe9"].n, evaluation.unreadable) == (1, ("br\\xfbl\\xe9/\\xff.png",))


def test_a_mask_lies_where_its_picture_lies(tmp_path: Path) -> None:
    Image.new("L", (64, 32), 255).save(tmp_path / "mask.png")
    padded = mask_at_input_size([tmp_path / "mask.png"], limits=LIMITS, input_size=(32, 32), aspect="pad")
    assert padded[8:24].all()
    assert not padded[:8].any()
    assert not padded[24:].any()
    assert mask_at_input_size([tmp_path / "mask.png"], limits=LIMITS, input_size=(32, 32), aspect="squash").all()
    wide = mask_at_input_size([tmp_path / "mask.png"], limits=LIMITS, input_size=(32, 96), aspect="pad")
    assert wide[:, 16:80].all()
    assert not wide[:, :16].any()
