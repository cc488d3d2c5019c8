"""`qc-dashboard` as a process without a broker, and Chromium to look at it."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from threading import Event
from urllib.error import URLError
from urllib.request import urlopen

from playwright.sync_api import Browser, sync_playwright

from qc_worker.domain.errors import SettingsError
from tests.conftest import eventually
from tests.support.debian import found_or_installed

AXE = Path(__file__).parent / "axe" / "axe.min.js"
CHROMIUM = ("chromium", "chromium-browser")
START_TIMEOUT_S = 60
NO_BROKER = "127.0.0.1:1"


class Dashboard:
    """`qc-dashboard run` as a process on a free port; its log goes to a file."""

    def __init__(self, folder: Path, environment: Mapping[str, str], *options: str) -> None:
        self._log = folder / "dashboard.log"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "qc_dashboard.cli", "run", "--port", "0", *options],
                env={**os.environ, "QC_STATE_DIR": str(folder), "QC_KAFKA_BOOTSTRAP_SERVERS": NO_BROKER, **environment},
                cwd=folder,
                stderr=log,
            )

    @property
    def url(self) -> str:
        """Return the address as the log has it; empty before."""
        return next((line["url"] for line in self.log() if line.get("event") == "dashboard started"), "").rstrip("/")

    def log(self) -> list[dict[str, str]]:
        """Read the whole lines of the log."""
        return [json.loads(line) for line in self._log.read_text().splitlines(keepends=True) if line.endswith("}\n")]

    def wait_until_ready(self) -> None:
        eventually(self._answers, timeout_s=START_TIMEOUT_S)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send the signal and return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(timeout=20)

    def _answers(self) -> bool:
        assert self.process.poll() is None, self._log.read_text()
        try:
            with urlopen(f"{self.url}/readyz", timeout=2) as answer:
                return bool(answer.status == 200)
        except (URLError, OSError, ValueError):
            return self.pause()

    @staticmethod
    def pause() -> bool:
        """Wait a moment before the next question; False, as nothing has been found yet."""
        Event().wait(0.05)
        return False


@contextmanager
def running_dashboard(folder: Path, environment: Mapping[str, str], *options: str) -> Iterator[Dashboard]:
    """Start a dashboard, wait until it answers, and end it."""
    dashboard = Dashboard(folder, environment, *options)
    try:
        dashboard.wait_until_ready()
        yield dashboard
    finally:
        if dashboard.process.poll() is None:
            dashboard.stop()


def command(folder: Path, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run a command of `qc-dashboard` to its end."""
    return subprocess.run(
        [sys.executable, "-m", "qc_dashboard.cli", *arguments],
        env={**os.environ, "QC_STATE_DIR": str(folder), "QC_LOG_FORMAT": "json"},
        cwd=folder,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start Debian's Chromium without a window. Raises SettingsError if it is not installed."""
    # Chromium's sandbox refuses to run as root, as tests do in a container.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_program(), args=arguments)
        yield browser
        browser.close()


@cache
def chromium_program() -> str:
    """Find Chromium; root in CI installs it. Raises SettingsError."""
    found = found_or_installed(_installed, "chromium")
    if found is None:
        raise SettingsError("Chromium is not installed: apt-get install chromium")
    return found


def _installed() -> str | None:
    return next((program for name in CHROMIUM if (program := shutil.which(name))), None)
