"""Samples go out as a data set, and come in again."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco
from typer.testing import CliRunner, Result

from qc_worker.domain.feedback import Judgement
from tests.unit.trainer.factories import LIMITS, LINE, NOW, imported, png
from trainer.cli import app
from trainer.datasets.labelled_folder import open_dataset
from trainer.datasets.masks import as_png, read_mask
from trainer.samples.card import Word
from trainer.samples.store import SampleStore, sha256

SIZE = 48
MASK = np.zeros((SIZE, SIZE), dtype=bool)
MASK[10:20, 5:9] = True
GOOD = [sha256(png(seed)) for seed in range(20)]
SCRATCH, UNNAMED, OK = (sha256(png(seed)) for seed in (100, 101, 102))


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SampleStore:
    """Twenty good samples, one that is held back, and three defects, one of them with a mask."""
    monkeypatch.setenv("QC_STATE_DIR", str(tmp_path / "state"))
    store = SampleStore(tmp_path / "state" / "samples")
    for seed in range(20):
        store.add(LINE, Judgement.GOOD, png(seed), origin=imported(f"{seed}.png"))
    doubt = Word(judgement=Judgement.UNSURE, by="ada", at=NOW)
    store.add(LINE, Judgement.UNSURE, png(50), origin=imported("u.png"), word=doubt)
    store.add(LINE, Judgement.DEFECT, png(100), origin=imported("s.png"), mask=as_png(MASK), kind="scratch")
    store.add(LINE, Judgement.DEFECT, png(101), origin=imported("d.png"))
    store.add(LINE, Judgement.DEFECT, png(102), origin=imported("o.png"), kind="ok")
    return store


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [*map(str, arguments)])


def document(*arguments: str | Path) -> dict[str, Any]:
    done = run(*arguments, "--json")
    assert done.exit_code == 0, done.output
    loaded: dict[str, Any] = json.loads(done.stdout)
    return loaded


@pytest.mark.parametrize("form", ["mvtec", "coco"])
def test_export_is_a_data_set_with_kinds_and_masks(store: SampleStore, tmp_path: Path, form: str) -> None:
    report = document("export", "--line", "A", "--format", form, tmp_path / "out")
    assert report["images"]["test/scratch"] == report["images"]["test/defect"] == 1
    assert (report["masks"], report["unreadable"]) == (1, [])
    dataset = open_dataset(tmp_path / "out")
    kinds = {kind.kind: [path.stem for path in kind.files] for kind in dataset.test}
    training = [path.stem for kind in dataset.training for path in kind.files]
    assert {name: kinds[name] for name in kinds if name != "good"} == {
        "scratch": [SCRATCH],
        "defect": [UNNAMED],
        "defect_ok": [OK],
    }
    assert sorted(training + kinds["good"]) == sorted(GOOD)
    assert 0 < len(kinds["good"]) < 8
    [masked] = [kind for kind in dataset.test if kind.masks]
    [files] = masked.masks.values()
    assert np.array_equal(read_mask(files, LIMITS), MASK)


@pytest.mark.parametrize("form", ["mvtec", "coco"])
def test_what_is_exported_can_be_imported_again(store: SampleStore, tmp_path: Path, form: str) -> None:
    document("export", "--line", "A", "--format", form, "--test-share", "0", tmp_path / "out")
    # A data set for a test needs good test images: with none, COCO keeps every tenth, and folders keep none.
    report = document("import", "--line", "B", "--dataset", tmp_path / "out")
    assert report["samples"] == {"good": 18 if form == "coco" else 20, "defect": 3}
    card = store.find(type(LINE)("B"), SCRATCH)
    assert card is not None
    assert (card.kind, card.coarse_mask) == ("scratch", False)
    assert np.array_equal(read_mask((store.mask_path(type(LINE)("B"), SCRATCH),), LIMITS), MASK)


def test_annotations_are_what_cocos_own_tools_read(store: SampleStore, tmp_path: Path) -> None:
    document("export", "--line", "A", "--format", "coco", tmp_path / "out")
    test = json.loads((tmp_path / "out" / "annotations" / "test.json").read_text())
    kinds = {kind["id"]: kind["name"] for kind in test["categories"]}
    [scratch] = [each for each in test["annotations"] if kinds[each["category_id"]] == "scratch"]
    assert (scratch["bbox"], scratch["area"]) == ([5, 10, 4, 10], 40)
    assert np.array_equal(coco.decode(scratch["segmentation"]).astype(bool), MASK)
    [image] = [each for each in test["images"] if each["id"] == scratch["image_id"]]
    with Image.open(tmp_path / "out" / image["file_name"]) as picture:
        assert picture.size == (image["width"], image["height"])


def test_sample_stays_in_its_part_when_others_are_added(store: SampleStore, tmp_path: Path) -> None:
    def for_tests(folder: Path) -> set[str]:
        document("export", "--line", "A", "--format", "mvtec", folder)
        return {path.stem for path in (folder / "test" / "good").iterdir()}

    before = for_tests(tmp_path / "one")
    for seed in range(200, 230):
        store.add(LINE, Judgement.GOOD, png(seed), origin=imported())
    assert before == for_tests(tmp_path / "two").intersection(GOOD)


def test_folder_in_use_and_line_without_samples_are_refused(store: SampleStore, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").touch()
    for line, folder, reason in (("A", "full", "not an empty folder"), ("Z", "new", "has no samples")):
        done = run("export", "--line", line, "--format", "coco", tmp_path / folder)
        assert done.exit_code == 2
        assert reason in done.output


def test_damaged_sample_is_named_and_the_others_are_exported(store: SampleStore, tmp_path: Path) -> None:
    (store.folder / "A" / "good" / GOOD[0]).write_bytes(b"changed")
    report = document("export", "--line", "A", "--format", "mvtec", tmp_path / "out")
    assert report["unreadable"] == [GOOD[0]]
    assert sum(report["images"].values()) == 22
