"""Start the sides of a race, each in its own process, so that they share no memory, threads or kernels.

A side's process reads one JSON request a line from standard input and answers each on standard output. It sleeps
between requests, so sides can take turns without competing for cores.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic
from typing import Any, Literal

SideName = Literal["floor", "ours", "unfolded", "plain", "patchcore", "super_simple_net"]
Precision = Literal["float32", "bfloat16", "float16"]
Model = Literal["paper", "default"]
"""Levels, neighbourhood and head: those of the paper, or our trainer's defaults."""


@dataclass(frozen=True, slots=True)
class SideSpec:
    """Description of the side that a process builds."""

    side: SideName
    backbone: str
    weights: str
    scratch: str
    """Folder for temporary files."""
    model: Model = "paper"
    precision: Precision = "float32"
    compiled: bool = False
    max_batch_size: int = 8
    """Largest batch size that compilation supports."""
    single_frames: bool = False
    """True if batches of one frame are timed: the floor then compiles a separate graph for them."""
    device: str = "cpu"

    @property
    def setting(self) -> str:
        return f"{self.model} {self.precision} {'compiled' if self.compiled else 'eager'}"


@dataclass(frozen=True, slots=True)
class Ready:
    """Time and memory that a side needed to get ready."""

    build_s: float
    """Seconds after the imports until the first batch can be judged: weights, compilation, warm-up."""
    imported_bytes: int
    """Memory of the process after the imports."""
    bytes_per_line: int
    """Size of the tensors of each further resident line; 0 for sides that know one line only."""
    measured_bytes_per_line: int
    """Memory that a further line added to the process; less if freed memory was reused."""


@dataclass(frozen=True, slots=True)
class Timed:
    """Speed of a side in one turn."""

    fps: float
    ms_per_batch: float
    cpu_ms_per_frame: float
    """CPU time of all threads; it depends little on other load of the machine."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Memory of a side's process (CPU) or on the device (CUDA), bytes."""

    resident_bytes: int
    peak_bytes: int


class SideProcess:
    """The process of one side, started by the constructor; `ready` waits for it."""

    def __init__(self, spec: SideSpec, *, cache_dir: Path) -> None:
        """Start the process. `cache_dir` keeps compiled kernels; an empty folder means a cold start."""
        self.spec = spec
        self.start_s = 0.0
        """Seconds from the start of the process until it was ready, with imports; set by `ready`."""
        self._started = monotonic()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.harness.contestant_main", json.dumps(asdict(spec))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
            env={**os.environ, "TORCHINDUCTOR_CACHE_DIR": str(cache_dir), "HF_HUB_OFFLINE": "1"},
        )

    def ready(self) -> Ready:
        """Wait until the side is built, compiled if asked for, and warmed up."""
        ready = Ready(**self._answer())
        self.start_s = monotonic() - self._started
        return ready

    def scores(self, frames: int, batch_size: int) -> list[float]:
        """Return scores of the first seeded frames, which are equal for all sides."""
        found: list[float] = self._ask("scores", frames=frames, batch_size=batch_size)["scores"]
        return found

    def time(self, *, batch_size: int, lines: int, turn_s: float) -> Timed:
        """Judge batches for `turn_s` seconds, at least one, and return the speed."""
        return Timed(**self._ask("time", batch_size=batch_size, lines=lines, turn_s=turn_s))

    def memory(self) -> Memory:
        """Return the current memory, and the peak since the start."""
        return Memory(**self._ask("memory"))

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(60)

    def _ask(self, question: str, **arguments: float) -> Mapping[str, Any]:
        assert self._process.stdin
        self._process.stdin.write(json.dumps({"question": question, **arguments}) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> Mapping[str, Any]:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"the process of {self.spec.side} ({self.spec.setting}) exited: {self._process.wait()}")
        answer: Mapping[str, Any] = json.loads(line)
        return answer
