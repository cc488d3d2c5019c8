"""`qc-dashboard run` on a plant's topics, watched from outside."""

import json
import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep
from urllib.request import urlopen

from benchmarks.harness.dashboard_tabs import resident_mib
from benchmarks.harness.plant import Plant

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 20.0


class DashboardProcess:
    """The process, with an SQLite file of its own in the state folder."""

    def __init__(self, plant: Plant) -> None:
        plant.state_dir.mkdir(exist_ok=True)
        self._log = plant.state_dir / "dashboard.log"
        self.database_url = f"sqlite:///{plant.state_dir / 'history.sqlite3'}"
        own = {"QC_DASHBOARD_PORT": "0", "QC_HISTORY_URL": self.database_url}
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "qc_dashboard.cli", "run"], env={**plant.environment, **own}, stderr=log
            )
        self.url = ""

    def wait_until_ready(self, *, lines: int) -> None:
        """Wait until the API has that many lines, and note the address."""
        deadline_s = monotonic() + START_TIMEOUT_S
        while monotonic() < deadline_s and self._process.poll() is None:
            sleep(0.1)
            if found := re.search(r"http://[0-9.]+:[0-9]+", self._log.read_text()):
                self.url = found[0]
                with suppress(OSError), urlopen(f"{self.url}/api/v1/lines", timeout=5) as answer:
                    if len(json.load(answer)["lines"]) == lines:
                        return
        self.close()
        raise SystemExit(f"the dashboard did not become ready; end of its log:\n{self._log.read_text()[-2000:]}")

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        self._process.wait(STOP_TIMEOUT_S)

    def cpu_s(self) -> float:
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident_mib(self) -> float:
        return resident_mib(self._process.pid)
