"""A vision transformer from retrain to verdicts, by the real commands; its weights are random numbers."""

from pathlib import Path

import pytest

from qc_worker.embedded.simulation.parts_line import Simulation
from tests.integration.conftest import RunTrainer
from tests.support.injected import Commands
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


@pytest.mark.parametrize("input_size", ["auto", "100x150"])
def test_a_vit_learns_good_frames_and_passes_them(
    input_size: str, state: Path, run_trainer: RunTrainer, commands: Commands
) -> None:
    retrain = ("retrain", "--line", "A", "--offline", "--json", "--steps", "60", "--backbone", VIT)
    imported, retrained = run_trainer(
        ("import", "--line", "A", "--good", "good", "--json"), (*retrain, "--input-size", input_size)
    )
    assert imported.code == 0, imported.err
    assert retrained.document["backbone"] == VIT
    score = ("score", "--line", "A", "--json", "good")
    scored = commands.run("qc-worker", *score, cwd=state, environment={"QC_STATE_DIR": str(state)})
    verdicts = [file["verdict"] for file in scored.document["files"]]
    assert len(verdicts) == 30
    assert verdicts.count("pass") >= 24


def test_without_weights_one_line_says_where_to_put_them(tmp_path: Path, run_trainer: RunTrainer) -> None:
    backbone = "vit_small_patch14_reg4_dinov2"
    (ended,) = run_trainer(("retrain", "--line", "A", "--offline", "--backbone", backbone))
    assert ended.code == 2
    assert ended.err.count("\n") == 1
    assert f"{backbone}.safetensors" in ended.err
