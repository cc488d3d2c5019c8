import json
import os
import subprocess
import sys
from pathlib import Path

from tests.conftest import Services

ROOT = Path(__file__).parents[2]
MINUTES = 0.6
GROWTH_MB = 16
"""Of what is allocated between bursts or once every frame is judged; measured: -10 to 10. Were every ordinary frame's
bytes kept, it would be 20, and 130 more by each burst of big frames."""


def test_a_short_soak_stays_within_settings_and_every_frame_comes_back_once(
    apache_services: Services, tmp_path: Path
) -> None:
    plot = tmp_path / "curve.png"
    command = [sys.executable, "benchmarks/soak.py", "--quick", "--minutes", str(MINUTES), "--json"]
    command += ["--plot", str(plot)]
    named = {**os.environ, "QC_TEST_KAFKA": apache_services.bootstrap_servers}
    run = subprocess.run(command, cwd=ROOT, env=named, capture_output=True, text=True, timeout=280, check=True)
    report = json.loads(run.stdout)
    assert report["within_settings"]
    assert report["biggest_frame_bytes"] > 15e6
    assert (report["missing"], report["double"]) == (0, 0)
    assert report["frames_judged"] > report["big_frames"] > 0
    assert report["dead_letters"] == report["error_inspections"] == report["undecodable_frames"] > 0
    assert report["rss_start_mb"] > 0
    # On a busy machine, the second half of the run may be one burst.
    heap_end_mb = min(report["heap_floor_end_mb"], report["heap_drained_mb"])
    assert heap_end_mb - report["heap_floor_start_mb"] < GROWTH_MB
    assert plot.stat().st_size > 0
