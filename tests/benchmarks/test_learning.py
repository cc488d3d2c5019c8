import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_learning_benchmark_prints_the_seconds_of_each_step() -> None:
    command = [sys.executable, "benchmarks/learning.py", "--quick", "--json"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=True)
    seconds = json.loads(run.stdout)["seconds"]
    assert set(seconds) == {"sent", "collected", "trained", "released", "live", "good_to_live"}
    assert all(lasted >= 0 for lasted in seconds.values())
