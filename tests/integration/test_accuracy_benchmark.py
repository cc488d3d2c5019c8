import json
import subprocess
import sys
from pathlib import Path

from qc_worker.embedded.simulation import write_dataset

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


def test_a_missing_dataset_is_told_in_one_line(tmp_path: Path) -> None:
    command = [*SCRIPT, "--dataset", str(tmp_path / "absent")]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 1
    assert run.stderr.strip().splitlines()[-1].startswith("accuracy.py: ")
