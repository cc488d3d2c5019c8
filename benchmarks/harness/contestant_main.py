"""Run the process of one side: build it, then answer requests until standard input ends (see `contestant`)."""

import itertools
import json
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from time import monotonic, process_time
from typing import Any, TextIO

from qc_worker.runtime.cores_and_memory import tune_process

tune_process()  # for every side, rivals included: without it they are slower

import torch  # noqa: E402  (after the wait policy is set)
from torch import Tensor  # noqa: E402

from benchmarks.harness.contestant import Ready, SideSpec, Timed  # noqa: E402
from benchmarks.harness.machine import device_memory  # noqa: E402
from benchmarks.harness.random_models import INPUT_SIZE  # noqa: E402
from benchmarks.rivals.inference import MAX_LINES, Side, build  # noqa: E402

WARM_UP_SIZES = (1, 8)


def main() -> None:
    answers = _take_stdout()
    spec = SideSpec(**json.loads(sys.argv[1]))
    imported_bytes = device_memory(spec.device).resident_bytes
    started = monotonic()
    side = build(spec)
    for size in WARM_UP_SIZES:
        side.score(_frames(size), [0] * size)
    build_s = monotonic() - started
    before = device_memory(spec.device).resident_bytes
    bytes_per_line = side.take_in_lines(MAX_LINES)
    added = device_memory(spec.device).resident_bytes - before
    ready = Ready(build_s, imported_bytes, bytes_per_line, added // (MAX_LINES - 1))
    _say(answers, asdict(ready))
    for question in sys.stdin:
        _say(answers, _answer(side, spec, json.loads(question)))


def _take_stdout() -> TextIO:
    """Keep standard output for the answers; what libraries print goes to standard error."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return answers


def _say(answers: TextIO, answer: Mapping[str, object]) -> None:
    answers.write(json.dumps(answer) + "\n")
    answers.flush()


def _answer(side: Side, spec: SideSpec, question: Mapping[str, Any]) -> Mapping[str, object]:
    kind = question["question"]
    if kind == "scores":
        return {"scores": _scores(side, question["frames"], question["batch_size"])}
    if kind == "time":
        return asdict(_timed(side, question["batch_size"], question["lines"], question["turn_s"]))
    return asdict(device_memory(spec.device))


def _frames(count: int) -> Tensor:
    """Make seeded frames, equal for every side; smooth, since a camera does not see noise."""
    generator = torch.Generator().manual_seed(1)
    coarse = torch.rand((count, 3, INPUT_SIZE // 8, INPUT_SIZE // 8), generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, scale_factor=8, mode="bilinear")
    return (255 * smooth).to(torch.uint8)


def _scores(side: Side, count: int, batch_size: int) -> list[float]:
    found: list[float] = []
    frames = _frames(count)
    for start in range(0, count, batch_size):
        batch = frames[start : start + batch_size]
        found += side.score(batch, [0] * len(batch)).tolist()
    return found


def _timed(side: Side, batch_size: int, lines: int, turn_s: float) -> Timed:
    pixels, batches = _frames(batch_size), _lines_of_batches(batch_size, lines)
    side.score(pixels, next(batches))
    started, cpu_started, passes = monotonic(), process_time(), 0
    while passes == 0 or monotonic() - started < turn_s:
        side.score(pixels, next(batches))
        passes += 1
    seconds, cpu_s, frames = monotonic() - started, process_time() - cpu_started, passes * batch_size
    return Timed(frames / seconds, ms_per_batch=1000 * seconds / passes, cpu_ms_per_frame=1000 * cpu_s / frames)


def _lines_of_batches(batch_size: int, lines: int) -> Iterator[list[int]]:
    """Yield the line of each frame of a batch: all lines in turn, sorted within a batch as in the worker."""
    turn = itertools.cycle(range(lines))
    while True:
        yield sorted(itertools.islice(turn, batch_size))


if __name__ == "__main__":
    main()
