import json
import subprocess
import sys
from pathlib import Path

import pytest

from qc_worker.domain.errors import SettingsError
from tests.conftest import skip_on_a_laptop
from tests.support.pages import chromium_program

ROOT = Path(__file__).parents[2]


@pytest.fixture
def browser_is_there() -> None:
    try:
        chromium_program()
    except SettingsError as error:
        skip_on_a_laptop(str(error))


def test_dashboard_benchmark_prints_one_json_object_with_exact_counts(browser_is_there: None) -> None:
    command = [sys.executable, "benchmarks/dashboard.py", "--quick", "--json"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=170, check=True)
    report = json.loads(run.stdout)
    assert report["exact"], report
    assert report["reloads"] == 0
    for delay in ("delivered_ms", "shown_ms"):
        assert 0 < report[delay]["p50"] <= report[delay]["p95"] <= report[delay]["max"]
    assert report["dashboard"]["cpu_share"] > 0
    assert report["frame_ms"]["p50"] > 0
