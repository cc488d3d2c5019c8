"""Sides of a race, each in a process of its own, so that one's memory, threads and kernels do not touch another's.

A side's process takes one question a line, as JSON, on its standard input, and answers each on its standard output.
Whoever is not asked sleeps; so sides alternate without sharing the cores.
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
Precision = Literal["float32", "bfloat16"]
Model = Literal["paper", "default"]
"""Levels, neighbourhood and head: the paper's, or what our trainer makes unless told otherwise."""


@dataclass(frozen=True, slots=True)
class SideSpec:
    """What a side's process builds."""

    side: SideName
    backbone: str
    weights: str
    scratch: str
    """A folder for files that the side needs on the way."""
    model: Model = "paper"
    precision: Precision = "float32"
    compiled: bool = False
    max_batch_size: int = 8
    """The largest that compilation provides for."""
    single_frames: bool = False
    """Whether batches of one are asked for: the floor then has a graph of its own for them."""
    device: str = "cpu"

    @property
    def setting(self) -> str:
        return f"{self.model} {self.precision} {'compiled' if self.compiled else 'eager'}"


@dataclass(frozen=True, slots=True)
class Ready:
    """How a side came up."""

    build_s: float
    """From after the imports until the first batch may come: weights, compilation, warm-up."""
    imported_bytes: int
    """Memory of the process before it built anything."""
    bytes_per_line: int
    """What each resident line after the first takes by its tensors; 0 for sides that know one line."""
    measured_bytes_per_line: int
    """What it added to the process; less if freed memory was at hand."""


@dataclass(frozen=True, slots=True)
class Timed:
    """One side's turn."""

    fps: float
    ms_per_batch: float
    cpu_ms_per_frame: float
    """Of all threads; unlike the others it hardly depends on what else the machine does."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Of a side's process (CPU) or of the device (CUDA), bytes."""

    resident_bytes: int
    peak_bytes: int


class SideProcess:
    """One side, started at once; `ready` waits for it."""

    def __init__(self, spec: SideSpec, *, cache_dir: Path) -> None:
        """`cache_dir` keeps compiled kernels; an empty one makes for a cold start."""
        self.spec = spec
        self.start_s = 0.0
        """Seconds from the start of the process until it was ready, imports included; known once it is."""
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
        """Wait until the side is built, warmed up and, if it is to be, compiled."""
        ready = Ready(**self._answer())
        self.start_s = monotonic() - self._started
        return ready

    def scores(self, frames: int, batch_size: int) -> list[float]:
        """Scores of the first seeded frames, alike for all sides."""
        found: list[float] = self._ask("scores", frames=frames, batch_size=batch_size)["scores"]
        return found

    def time(self, *, batch_size: int, lines: int, turn_s: float) -> Timed:
        """Judge batches for `turn_s`, and one at least."""
        return Timed(**self._ask("time", batch_size=batch_size, lines=lines, turn_s=turn_s))

    def memory(self) -> Memory:
        """Now, and the most there was since the start."""
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
            raise SystemExit(f"the process of {self.spec.side} ({self.spec.setting}) ended: {self._process.wait()}")
        answer: Mapping[str, Any] = json.loads(line)
        return answer
