"""`qc-trainer import` as people call it."""

import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.unit.trainer.factories import write_images
from tests.unit.trainer.samples.folders.test_importing import write_mask
from trainer.cli import app


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QC_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("COLUMNS", "200")


def run_import(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["import", "--line", "A", *map(str, arguments)])


def loco(folder: Path) -> Path:
    for number, part in enumerate(("train/good", "validation/good", "test/good")):
        write_images(folder / part, 2, first_seed=10 * number)
    write_images(folder / "test" / "logical_anomalies", 2, first_seed=90, defect=True)
    write_mask(folder / "ground_truth" / "logical_anomalies" / "090" / "000.png")
    (folder / "defects_config.json").write_text("[]")
    return folder


def test_a_dataset_comes_in_at_once(tmp_path: Path) -> None:
    done = run_import("--dataset", loco(tmp_path / "box"), "--json")
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    assert document["samples"] == {"good": 4, "defect": 2}
    assert document["defect"]["with_mask"] == 1
    assert document["defect"]["without_mask"] == ["test/logical_anomalies/091.png"]
    assert document["layout"].startswith("train and test folders")


def test_people_are_told_how_many_and_which(tmp_path: Path) -> None:
    folder = write_images(tmp_path / os.fsdecode(b"\xe9"), 3)
    (folder / os.fsdecode(b"cut\xe9.png")).write_bytes(b"no picture")
    (folder / "notes.txt").touch()
    done = run_import("--good", folder)
    assert done.exit_code == 0, done.output
    assert "1: cut\\xe9.png" in done.stdout
    assert "suffix .txt 1, undecodable 1" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--good", "box"), "qc-trainer import --line A --dataset box"),
        (("--defect", "box/test"), "qc-trainer import --line A --dataset"),
        (("--dataset", "box", "--good", "box/train/good"), "--dataset imports good images, defects and masks"),
        (("--dataset", "box/test"), "does not have the layout of MVTec AD, BTAD, VisA or COCO"),
        (("--dataset", "nowhere"), "nowhere is not a folder"),
        ((), "or --dataset DIR"),
        (("--good", "box/train/good", "--masks", "box/ground_truth"), "--masks needs --defect"),
    ],
)
def test_what_cannot_be_meant_is_one_line_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], told: str
) -> None:
    loco(tmp_path / "box")
    monkeypatch.chdir(tmp_path)
    done = run_import(*arguments)
    assert (done.exit_code, done.stdout) == (2, "")
    [line] = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert told in line
    assert not list((tmp_path / "state").rglob("*.json"))


def test_a_refused_folder_of_defects_keeps_the_good_one_out_too(tmp_path: Path) -> None:
    good, defects = write_images(tmp_path / "fine", 2), write_images(tmp_path / "x" / "good", 1)
    assert run_import("--good", good, "--defect", defects.parent).exit_code == 2
    assert not list((tmp_path / "state").rglob("*.json"))
