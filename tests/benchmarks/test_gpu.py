import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here, and all would be measured")
def test_without_a_gpu_the_benchmark_says_so_in_one_line_and_ends_with_2() -> None:
    command = [sys.executable, "benchmarks/gpu.py"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 2
    assert run.stdout == ""
    assert len(run.stderr.splitlines()) == 1
    assert "CUDA" in run.stderr
