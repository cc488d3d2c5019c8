import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_stream_benchmark_prints_one_json_object_with_every_side() -> None:
    command = [sys.executable, "benchmarks/stream.py", "--quick", "--json"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280, check=True)
    report = json.loads(run.stdout)
    assert all(report[side] > 0 for side in ("floor_fps", "worker_fps", "plumbing_fps", "first_loop_fps"))
    assert report["plumbing_cpu_us_per_frame"] > 0
    half_load = report["half_load"]
    assert half_load["limit_ms"] > 2 * half_load["inference_ms_per_batch"] > 0
    latencies = half_load["in_worker_ms"]
    assert 0 < latencies["p50"] <= latencies["p95"] <= latencies["p99"]
