"""Runs the real command lines as child processes, each in a session of its own; all end with the demo."""

import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import monotonic, sleep
from types import TracebackType
from typing import Self, cast

from qc_worker.domain.errors import TrainingError, TransportError
from qc_worker.embedded import child
from qc_worker.embedded.server import LOOPBACK, free_port
from qc_worker.settings import Settings

READY_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 15.0
LOG_TAIL_LINES = 15
PROBE_EVERY_S = 0.1

PASSED_ON = (
    "kafka_bootstrap_servers",
    "session_timeout_ms",
    "delivery",
    "consumer_group",
    "images_topic",
    "results_topic",
    "dead_letter_topic",
    "feedback_topic",
    "samples_topic",
    "models_topic",
    "redis_url",
    "redis_timeout_ms",
    "state_dir",
    "model_store",
    "sample_store",
    "weights_dir",
)


def child_environment(settings: Settings) -> dict[str, str]:
    """Build the environment in which a child uses the demo's servers and folders."""
    fields = {name: getattr(settings, name) for name in PASSED_ON}
    chosen = {f"QC_{name.upper()}": str(value) for name, value in fields.items() if value is not None}
    # A demo ends before compiling would save time, and must also run where a GPU has no driver.
    return {**os.environ, **chosen, "QC_HEALTH_HOST": LOOPBACK, "QC_COMPILE": "false", "QC_CPU_FALLBACK": "true"}


class Program:
    """One of our commands as a process; its output goes to the file `log`, or without one to our stderr."""

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str], log: Path | None = None) -> None:
        self._log = log
        output = log.open("wb") if log else None
        # The program is killed when this stdin closes, so it ends when we do: see `child`.
        self._supervisor = subprocess.Popen(  # noqa: S603
            [sys.executable, "-I", child.__file__, sys.executable, "-m", *arguments],
            stdin=subprocess.PIPE,
            stdout=output or sys.stderr,
            stderr=output or sys.stderr,
            start_new_session=True,
            env=dict(environment),
        )
        if output:
            output.close()

    def exit_code(self) -> int | None:
        """Return the exit code; None while it runs."""
        return self._supervisor.poll()

    def wait(self) -> int:
        """Wait until it ends; return its exit code."""
        return self._supervisor.wait()

    def stop(self) -> None:
        """Ask it to end in order; kill it after STOP_TIMEOUT_S."""
        if self._supervisor.poll() is None:
            os.killpg(self._supervisor.pid, signal.SIGTERM)
            try:
                self._supervisor.wait(timeout=STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self.kill()
        self.kill()

    def kill(self) -> None:
        """Kill it and wait until it is gone."""
        if self._supervisor.stdin is not None:
            self._supervisor.stdin.close()
        self._supervisor.wait()

    def last_words(self) -> str:
        """Return the end of its log."""
        lines = self._log.read_text(errors="replace").splitlines() if self._log else []
        return "\n".join(lines[-LOG_TAIL_LINES:]) or "no output"


class ServingProgram:
    """One of our commands that stays and answers probes on a free port, which it gets in the variable `port`."""

    def __init__(
        self, name: str, arguments: Sequence[str], environment: Mapping[str, str], *, port: str, log: Path
    ) -> None:
        self._name = name
        self._port = free_port()
        chosen = {port: str(self._port), "QC_LOG_FORMAT": "json"}
        self._program = Program(arguments, {**environment, **chosen}, log)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self._port}/"

    def wait_ready(self, *, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Wait until it is ready. Raises TransportError with the end of its log."""
        deadline_s = monotonic() + timeout_s
        while not self._answers("readyz"):
            self.check()
            if monotonic() > deadline_s:
                raise TransportError(f"{self._name} was not ready in {timeout_s:.0f} s: {self.last_words()}")
            sleep(PROBE_EVERY_S)

    def check(self) -> None:
        """Check that it still runs. Raises TransportError with the end of its log."""
        if self._program.exit_code() is not None:
            raise TransportError(f"{self._name} ended with code {self._program.exit_code()}: {self.last_words()}")

    def stop(self) -> None:
        """Ask it to end in order."""
        self._program.stop()

    def last_words(self) -> str:
        return self._program.last_words()

    def _answers(self, path: str) -> bytes | None:
        try:
            with urllib.request.urlopen(f"http://{LOOPBACK}:{self._port}/{path}", timeout=2) as page:
                return cast(bytes, page.read())
        except (urllib.error.URLError, OSError):
            return None


class WorkerProgram(ServingProgram):
    """A real `qc-worker run`; ready once it has partitions and models."""

    def __init__(self, environment: Mapping[str, str], log: Path) -> None:
        super().__init__("the worker", ["qc_worker.cli", "run"], environment, port="QC_HEALTH_PORT", log=log)

    def releases_taken_up(self) -> int:
        """Return the number of releases that it has made resident so far."""
        metrics = (self._answers("metrics") or b"").decode()
        wanted = 'qc_releases_total{outcome="taken_up"} '
        counts = [line.removeprefix(wanted) for line in metrics.splitlines() if line.startswith(wanted)]
        return int(float(counts[0])) if counts else 0


class Trainer:
    """The real `qc-trainer`."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    def import_good(self, line: str, folder: Path) -> None:
        """Store a folder of good images as samples. Raises TrainingError."""
        self._run("import", "--line", line, "--good", str(folder))

    def retrain(self, line: str, *, seed: int) -> None:
        """Train and announce, showing its progress. Raises TrainingError."""
        self._run(*_retrain(line, seed))

    def start_retrain(self, line: str, *, seed: int, log: Path) -> Program:
        """Train and announce in the background, with the output in a file."""
        return Program(["trainer.cli", *_retrain(line, seed)], self._environment, log)

    def _run(self, *arguments: str) -> None:
        program = Program(["trainer.cli", *arguments], self._environment)
        try:
            code = program.wait()
        finally:
            program.stop()
        if code:
            raise TrainingError(f"qc-trainer {' '.join(arguments)} ended with code {code}")


def _retrain(line: str, seed: int) -> tuple[str, ...]:
    """Build the arguments of a retrain at 256 px, for any laptop: `auto` would take nearly twice the pixels.

    Some frames go to review, so that there is something for people to do.
    """
    return "retrain", "--line", line, "--seed", str(seed), "--input-size", "256", "--review-rate", "0.05"
