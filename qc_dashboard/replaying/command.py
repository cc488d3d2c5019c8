"""Run `qc-worker replay` as a process of its own: the worker's code needs torch, which pages shall not wait for."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event
from typing import Protocol

from pydantic import TypeAdapter, ValidationError

from qc_dashboard.replaying.replay import Replay
from qc_worker.domain.frame import Position
from qc_worker.domain.inspection import Inspection
from qc_worker.wire.json_types import encode_inspection

TIMEOUT_S = 600.0
NICENESS = 10
"""A worker on this machine goes first."""
LOOK_EVERY_S = 0.2
COMPARED = (0, 1)
"""Exit codes with a report: equal, or different."""


class ReplayFailed(Exception):
    """The command gave no second judgement; says why in a sentence."""


@dataclass(frozen=True, slots=True)
class KeptFrame:
    """A frame that the archive has, with the inspection that the history has of it."""

    content: bytes
    inspection: Inspection


class KeptFrames(Protocol):
    """Looks up what is needed to judge a frame again that has left its topic."""

    def __call__(self, source: Position) -> KeptFrame | None:
        """Return it; None if the frame is still on its topic, or is not in the archive. Raises TransportError."""
        ...


@dataclass(frozen=True, slots=True)
class Report:
    """What the command reports of both judgements."""

    same: bool | None
    score_difference: float | None
    tolerance: float | None
    other_format: str | None
    replayed: Inspection


REPORT = TypeAdapter(Report)


class ReplayCommand:
    """Runs the command; `environment` has the settings that this process got by its command line."""

    def __init__(self, environment: Mapping[str, str], kept: KeptFrames, *, timeout_s: float = TIMEOUT_S) -> None:
        self._environment = {**os.environ, **environment}
        self._kept = kept
        self._timeout_s = timeout_s

    def run(self, asked: Replay, stop: Event) -> Report:
        """Judge the frame again. Raises ReplayFailed, TransportError."""
        kept = self._kept(asked.source)
        with TemporaryDirectory(prefix="qc-replay-") as temporary:
            folder = Path(temporary)
            arguments = ["--json", f"--position={asked.source}"]
            arguments += [f"--version={asked.version}"] if asked.version else []
            arguments += _files(folder, kept) if kept else []
            code, out, error = self._finished(arguments, folder, stop)
        if code not in COMPARED:
            raise ReplayFailed(_sentence(error) or f"qc-worker replay ended with code {code}")
        try:
            return REPORT.validate_python(json.loads(out))
        except (ValueError, ValidationError):
            raise ReplayFailed(_sentence(error) or "qc-worker replay gave no report") from None

    def _finished(self, arguments: list[str], folder: Path, stop: Event) -> tuple[int, str, str]:
        """Wait for the command's end; return its code, its report and the end of its log."""
        out, error = folder / "out", folder / "error"
        with out.open("wb") as report, error.open("wb") as log:
            process = subprocess.Popen(  # noqa: S603  (no shell; the position is one word)
                [sys.executable, "-m", "qc_worker.cli", "replay", *arguments],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=report,
                stderr=log,
                start_new_session=True,
            )
        try:
            with suppress(ProcessLookupError):
                os.setpriority(os.PRIO_PROCESS, process.pid, NICENESS)
            self._await(process, stop)
        finally:
            _end(process)
        return process.returncode, out.read_text(errors="replace"), error.read_text(errors="replace")

    def _await(self, process: "subprocess.Popen[bytes]", stop: Event) -> None:
        left_s = self._timeout_s
        while left_s > 0 and not stop.is_set():
            with suppress(subprocess.TimeoutExpired):
                process.wait(LOOK_EVERY_S)
                return
            left_s -= LOOK_EVERY_S
        raise ReplayFailed("the dashboard was stopped" if stop.is_set() else f"no end within {self._timeout_s:.0f} s")


def _files(folder: Path, kept: KeptFrame) -> list[str]:
    frame, inspection = folder / "frame", folder / "inspection.json"
    frame.write_bytes(kept.content)
    inspection.write_bytes(encode_inspection(kept.inspection))
    return [f"--frame={frame}", f"--inspection={inspection}"]


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Kill what is left of the command, compilers that it started included."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _sentence(log: str) -> str:
    """Return the command's last line about an error."""
    errors = [line.removeprefix("error: ") for line in log.splitlines() if line.startswith("error: ")]
    return errors[-1][:500] if errors else ""
