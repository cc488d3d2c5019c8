"""`qc-dashboard` as a process, on the topics of a plant."""

import json
import signal
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from tests.support.plant import Plant


class DashboardProcess:
    """`qc-dashboard run`; its log goes to a file."""

    _count = 0

    def __init__(self, plant: Plant, url: str, **environment: str) -> None:
        DashboardProcess._count += 1
        self.log_file = plant.folder / f"dashboard-{DashboardProcess._count}.log"
        with self.log_file.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "qc_dashboard.cli", "run"],
                env=dashboard_environment(plant, url, environment),
                cwd=plant.folder,
                stderr=log,
            )

    def wait(self, timeout_s: float) -> int:
        return self.process.wait(timeout_s)

    def stop(self) -> int:
        """Send SIGTERM, and return the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)

    def end(self) -> None:
        """Kill it if it still runs."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)

    def log(self) -> str:
        return self.log_file.read_text()


def dashboard_environment(plant: Plant, url: str, more: Mapping[str, str]) -> dict[str, str]:
    return {**plant.environment, "QC_HISTORY_URL": url, **more}


def rebuild(plant: Plant, url: str, *arguments: str, expect: int = 0, **environment: str) -> dict[str, Any]:
    """Run `qc-dashboard rebuild` to its end; its report is empty if it was to be killed."""
    done = subprocess.run(
        [sys.executable, "-m", "qc_dashboard.cli", "rebuild", "--json", *arguments],
        env=dashboard_environment(plant, url, environment),
        cwd=plant.folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == expect, done.stdout + done.stderr
    report: dict[str, Any] = json.loads(done.stdout) if done.stdout else {}
    return report
