import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_host_benchmark_prints_one_json_object_with_every_cost() -> None:
    command = [sys.executable, "benchmarks/host.py", "--quick", "--json"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280, check=True)
    report = json.loads(run.stdout)
    stages = ("admit", "decode", "judge_passed", "judge_rejected", "judge_rejected_everywhere", "judge_rejected_ragged")
    assert report["cpu_us_per_frame"].keys() == set(stages)
    assert all(figure > 0 for figure in report["cpu_us_per_frame"].values())
    assert all(report[side]["fps"] > 0 for side in ("plumbing", "all_rejected"))
    assert all(fps > 0 for fps in report["decode_fps"].values())
    one, many = (report["operators"]["float32"][lines] for lines in ("1 line", "32 lines"))
    assert many["stacked"] == one["stacked"] < one["line after line"] + 40 < many["line after line"]
