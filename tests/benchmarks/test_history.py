import json
import subprocess
import sys
from pathlib import Path

from tests.support.postgresql import PostgreSQL

ROOT = Path(__file__).parents[2]


def test_history_benchmark_prints_one_json_object_with_both_databases(postgresql: PostgreSQL) -> None:
    command = [sys.executable, "benchmarks/history.py", "--quick", "--json"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280, check=True)
    report = json.loads(run.stdout)
    for kind in ("sqlite", "postgresql"):
        assert report["projection"][kind]["inspections_per_s"] > 0
        assert report["bytes_per_million_rows"][kind] > 1e6
        assert all(0 < figures["p50_ms"] <= figures["p95_ms"] for figures in report["search"][kind].values())
    assert report["search"]["sqlite"].keys() == report["search"]["postgresql"].keys()
