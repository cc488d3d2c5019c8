"""The real command line, without any broker."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from qc_worker.cli import app
from qc_worker.registry.store import FsspecModelStore
from tests.support import factories


def score(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "QC_STATE_DIR": str(folder / "state"), "QC_MODEL_STORE": str(folder / "store")}
    command = [sys.executable, "-m", "qc_worker.cli", "score", *arguments]
    return subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    store = FsspecModelStore(str(tmp_path / "store"))
    factories.add_version(store, "A", "v1", scores=(1e6, 1e6, 1e6))
    factories.add_version(store, "A", "v2", scores=(-1e6, -1e6, -1e6))
    images = tmp_path / "images"
    (images / "deeper").mkdir(parents=True)
    (images / "one.jpg").write_bytes(factories.jpeg(1))
    (images / "deeper" / "one.png").write_bytes(factories.encoded("PNG", 2))
    return tmp_path


def test_the_newest_version_judges_every_image_in_a_folder(folder: Path) -> None:
    done = score(folder, "--line", "A", "images", "--json", "--heatmaps", "heat")
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    document = json.loads(line)
    assert (document["line"], document["model_version"]) == ("A", "v2")
    assert [Path(file["path"]).name for file in document["files"]] == ["one.png", "one.jpg"]
    assert {file["verdict"] for file in document["files"]} == {"reject"}
    heatmaps = {folder / file["heatmap_key"] for file in document["files"]}
    assert len(heatmaps) == 2
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in heatmaps)


def test_names_that_are_no_utf8_are_judged_and_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "utf-8:strict")
    (folder / "images" / "one.jpg").rename(folder / "images" / os.fsdecode(b"caf\xe9.jpg"))
    done = score(folder, "--line", "A", "images", "--json", "--heatmaps", "heat")
    assert done.returncode == 0, done.stderr
    [cafe, _] = sorted(json.loads(done.stdout)["files"], key=lambda file: str(file["path"]))
    assert cafe["path"] == "images/caf\\xe9.jpg"
    assert (folder / cafe["heatmap_key"]).is_file()
    assert "caf\\xe9.jpg" in score(folder, "--line", "A", "images").stdout


def test_files_in_a_folder_that_are_no_images_are_counted_in_the_log(folder: Path) -> None:
    (folder / "images" / "photo.heic").write_text("not decoded")
    done = score(folder, "--line", "A", "images", "--json")
    assert len(json.loads(done.stdout)["files"]) == 2
    assert '"found": {"suffix .heic": 1}' in done.stderr


def test_a_version_can_be_chosen_and_people_get_a_table(folder: Path) -> None:
    done = score(folder, "--line", "A", "--version", "v1", "images/one.jpg")
    assert done.returncode == 0, done.stderr
    assert "pass" in done.stdout
    assert "one.jpg" in done.stdout


def test_a_file_that_is_no_image_is_told_and_makes_exit_code_1(folder: Path) -> None:
    (folder / "text.jpg").write_text("no picture")
    done = score(folder, "--line", "A", "text.jpg", "images/one.jpg", "--json")
    assert done.returncode == 1
    assert [file["verdict"] for file in json.loads(done.stdout)["files"]] == ["error", "reject"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--line", "B", "images"], "line B has no model"),
        (["--line", "../A", "images"], "'../A' is not a line"),
        (["--line", "A", "--version", "v9", "images"], "v9"),
        (["--line", "A", "nowhere"], "nowhere: no such file or folder"),
        (["--line", "A", "store"], "no image files found"),
        (["--line", "A", "--device", "gpu", "images"], "device gpu cannot be used here"),
    ],
)
def test_what_cannot_work_is_one_line_and_exit_code_2(
    folder: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("QC_STATE_DIR", str(folder / "state"))
    monkeypatch.setenv("QC_MODEL_STORE", str(folder / "store"))
    # In this process, unlike above: importing torch once for each of these would take most of a minute.
    done = CliRunner().invoke(app, ["score", *arguments])
    assert done.exit_code == 2
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 1
    assert message in done.stderr
