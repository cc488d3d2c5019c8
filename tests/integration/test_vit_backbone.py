"""A vision transformer from retrain to verdicts, by the real commands; its weights are random numbers."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from qc_worker.embedded.simulation.parts_line import Simulation
from tests.integration.test_trainer_process import run_all
from tests.unit.simplenet.factories import random_weights

VIT = "test_vit2"  # timm's own for tests: patches of 16, embeddings for 160 px


@pytest.fixture
def state(tmp_path: Path) -> Path:
    (tmp_path / "weights").mkdir()
    (tmp_path / "good").mkdir()
    random_weights(tmp_path / "weights", VIT)
    simulation = Simulation("A", seed=0, defect_share=0)
    for index in range(30):
        (tmp_path / "good" / f"{index:02}.jpg").write_bytes(simulation.frame(index).content)
    return tmp_path


def score(state: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "qc_worker.cli", "score", "--line", "A", "--json", "good"],
        env={**os.environ, "QC_STATE_DIR": str(state)},
        cwd=state,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("input_size", ["auto", "100x150"])
def test_a_vit_learns_good_frames_and_passes_them(input_size: str, state: Path) -> None:
    retrain = ("retrain", "--line", "A", "--offline", "--json", "--steps", "60", "--backbone", VIT)
    imported, retrained = run_all(
        state, ("import", "--line", "A", "--good", "good", "--json"), (*retrain, "--input-size", input_size)
    )
    assert imported.code == 0, imported.err
    assert retrained.document["backbone"] == VIT
    scored = score(state)
    assert scored.returncode == 0, scored.stderr
    verdicts = [file["verdict"] for file in json.loads(scored.stdout)["files"]]
    assert len(verdicts) == 30
    assert verdicts.count("pass") >= 24


def test_without_weights_one_line_says_where_to_put_them(tmp_path: Path) -> None:
    backbone = "vit_small_patch14_reg4_dinov2"
    (ended,) = run_all(tmp_path, ("retrain", "--line", "A", "--offline", "--backbone", backbone))
    assert ended.code == 2
    assert ended.err.count("\n") == 1
    assert f"{backbone}.safetensors" in ended.err
