"""Measure what a frame costs the host, whatever computes the model: no GPU and no broker are needed.

Sides take turns in one run:

- stages: CPU time a frame of admitting, decoding (a JPEG of 384 x 320, in one thread), judging a passed frame, and
  judging rejected ones of three kinds: one defect of 40 pixels, a map that is anomalous nearly everywhere, and one in
  which every pixel differs from its neighbours.
- plumbing: a whole worker on the in-memory broker whose decoder and model take no time; all frames pass.
- all rejected: the same, but every frame has the defect of 40 pixels.
- decode scaling: frames a second by decode threads, where torch's own number of threads is the cores', and 16.

Without turns, as they are exact: operators of the heads for a batch of 64 frames, of one line and of 32, line after
line and stacked as on a GPU, in both number formats. Views are not counted, as they launch nothing.

Prints one JSON object: {"cpu_us_per_frame": {...}, "plumbing", "all_rejected", "decode_fps", "operators", ...}.
"""
# ruff: noqa: E402 -- memory settings must be made before torch is imported

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache, partial
from threading import Semaphore

from qc_worker.runtime.cores_and_memory import tune_process

tune_process()

import torch

from benchmarks.harness.host_worker import (
    INPUT_SIZE,
    LIMITS,
    PICTURE,
    HostCost,
    judge_all,
    messages,
    residents,
)
from benchmarks.harness.machine import machine, versions
from benchmarks.harness.operators import operators_of_heads
from qc_worker.domain.frame import Position, Record
from qc_worker.engine.decoding import Decoded, DecodeThreads
from qc_worker.engine.heatmaps import HeatmapWriter
from qc_worker.engine.in_flight import Ticket
from qc_worker.engine.inference import Inferred
from qc_worker.engine.intake import Admitted, admit
from qc_worker.engine.judge import Judge
from qc_worker.observability.logging import configure_logging
from qc_worker.runtime.clock import SystemClock
from qc_worker.simplenet.inference.scored import Scored
from qc_worker.transport.redis.heatmap_cache import NullHeatmapCache

BATCH_SIZE = 32
MANY_THREADS = 16
"""torch's number of threads on a machine of that many cores."""

Turn = Callable[[], float]


def main() -> None:
    configure_logging("warning", "json")  # to stderr: stdout is for the JSON object alone
    options = _options()
    torch.set_num_threads(_cores())
    stages = _alternated(_stages(options.frames), options.rounds)
    decoding = _alternated(_decode_turns(options.frames), options.rounds)
    workers = _alternated_workers(options)
    found: dict[str, object] = {"benchmark": "host", "cpu_us_per_frame": stages, **workers, "decode_fps": decoding}
    stamp = {"taken_at": datetime.now(UTC).isoformat(timespec="seconds"), "machine": machine(), "versions": versions()}
    print(
        json.dumps(
            found | {"operators": operators_of_heads(), "rounds": options.rounds, "frames": options.frames} | stamp
        )
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--frames", type=int, default=512, help="frames in each turn of a stage")
    parser.add_argument("--worker-frames", type=int, default=4000, help="frames in each turn of a whole worker")
    parser.add_argument("--quick", action="store_true", help="some seconds: one short round")
    parser.add_argument("--json", action="store_true", help="accepted for uniformity; JSON is all there is")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.frames, options.worker_frames = 1, 32, 64
    return options


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def _alternated(turns: Mapping[str, Turn], rounds: int) -> dict[str, float]:
    """Return the median of each side's turns, after one that is not counted."""
    found: dict[str, list[float]] = {name: [] for name in turns}
    for number in range(rounds + 1):
        for name, turn in turns.items():
            figure = turn()
            if number:
                found[name].append(figure)
    return {name: round(statistics.median(figures), 1) for name, figures in found.items()}


def _stages(frames: int) -> dict[str, Turn]:
    admitted = [_admitted(number) for number in range(frames)]
    maps = {"rejected": _defect(), "rejected_everywhere": _bright(), "rejected_ragged": _ragged()}
    turns: dict[str, Turn] = {
        "admit": lambda: _cpu_us(lambda: [admit(one.ticket, _residents()) for one in admitted], frames),
        "decode": lambda: _cpu_us(lambda: _decode_all(admitted, threads=1), frames),
        "judge_passed": lambda: _judge_us(torch.zeros_like(_defect()), frames),
    }
    return turns | {f"judge_{name}": lambda found=found: _judge_us(found, frames) for name, found in maps.items()}


def _cpu_us(run: Callable[[], object], frames: int) -> float:
    """Measure the CPU time of a frame, in all threads of this process."""
    started_s = time.process_time()
    run()
    return 1e6 * (time.process_time() - started_s) / frames


def _judge_us(anomaly_map: torch.Tensor, frames: int) -> float:
    """Judge batches of frames with that map, (H, W), and a score of its peak."""
    judge = Judge(HeatmapWriter(NullHeatmapCache()), SystemClock(), heatmap_pass_share=0.0)
    batch = [_decoded(_admitted(number)) for number in range(BATCH_SIZE)]
    scores = torch.full((BATCH_SIZE,), float(anomaly_map.max()))
    maps = anomaly_map.repeat(BATCH_SIZE, 1, 1)
    batches = max(1, frames // BATCH_SIZE)

    def run() -> None:
        for _ in range(batches):
            judge.judge(Inferred(batch, Scored(scores, maps, "float32"), time.monotonic()))

    return _cpu_us(run, batches * BATCH_SIZE)


def _decode_turns(frames: int) -> dict[str, Turn]:
    admitted = [_admitted(number) for number in range(frames)]

    def turn(threads: int, torch_threads: int) -> Turn:
        return lambda: _decode_fps(admitted, threads=threads, torch_threads=torch_threads)

    counts = sorted({1, 2, _cores()})
    own = {f"{threads} threads": turn(threads, _cores()) for threads in counts if threads <= _cores()}
    many = {f"{threads} threads, torch {MANY_THREADS}": turn(threads, MANY_THREADS) for threads in counts}
    return own | many


def _decode_fps(admitted: Sequence[Admitted], *, threads: int, torch_threads: int) -> float:
    before = torch.get_num_threads()
    torch.set_num_threads(torch_threads)
    started_s = time.monotonic()
    try:
        _decode_all(admitted, threads=threads)
        return len(admitted) / (time.monotonic() - started_s)
    finally:
        torch.set_num_threads(before)


def _decode_all(admitted: Sequence[Admitted], *, threads: int) -> None:
    """Decode in the worker's own threads. Raises the error of a frame that cannot be decoded."""
    decoding, errors, done = (
        DecodeThreads(threads=threads, limits=LIMITS, clock=SystemClock()),
        list[Exception](),
        Semaphore(0),
    )

    def deliver(_: Admitted, decoded: Decoded | Exception) -> None:
        if isinstance(decoded, Exception):
            errors.append(decoded)
        done.release()

    decoding.start(deliver)
    for one in admitted:
        decoding.submit(one)
    for _ in admitted:
        done.acquire()
    decoding.close(1.0)
    if errors:
        raise errors[0]


def _alternated_workers(options: argparse.Namespace) -> dict[str, dict[str, object]]:
    sent = messages(options.worker_frames)
    maps = {"plumbing": torch.zeros((INPUT_SIZE, INPUT_SIZE)), "all_rejected": _defect()}
    costs: dict[str, list[HostCost]] = {name: [] for name in maps}
    for number in range(options.rounds + 1):
        for name, anomaly_map in maps.items():
            cost = judge_all(sent if number else sent[:64], anomaly_map)
            if number:
                costs[name].append(cost)
    return {name: _figures(found) for name, found in costs.items()}


def _figures(costs: Sequence[HostCost]) -> dict[str, object]:
    return {
        "fps": round(statistics.median(cost.fps for cost in costs)),
        "cpu_us_per_frame": round(statistics.median(cost.cpu_us_per_frame for cost in costs), 1),
        "fps_of_rounds": [round(cost.fps) for cost in costs],
    }


_residents = cache(residents)
_frames = cache(partial(messages, 8))


def _admitted(number: int) -> Admitted:
    sent = _frames()[number % 8]
    record = Record(Position("images", 0, number), sent.key, sent.content, tuple(sent.headers), datetime.now(UTC))
    return admit(Ticket(record, time.monotonic()), _residents())


def _decoded(admitted: Admitted) -> Decoded:
    return Decoded(admitted.ticket, admitted.frame, admitted.resident, PICTURE, 1.0)


def _defect() -> torch.Tensor:
    """Make a map with one round defect."""
    rows, columns = torch.meshgrid(torch.arange(INPUT_SIZE), torch.arange(INPUT_SIZE), indexing="ij")
    return 5 * torch.exp(-((rows - 100) ** 2 + (columns - 140) ** 2) / (2 * 20.0**2)) + 1e-3 * rows / INPUT_SIZE


def _bright() -> torch.Tensor:
    """Make a smooth map that is anomalous nearly everywhere, as when a lamp fails."""
    torch.manual_seed(0)
    coarse = 5 + torch.rand((1, 1, 16, 16))
    return torch.nn.functional.interpolate(coarse, size=(INPUT_SIZE, INPUT_SIZE), mode="bilinear")[0, 0]


def _ragged() -> torch.Tensor:
    torch.manual_seed(0)
    return 5 + torch.rand((INPUT_SIZE, INPUT_SIZE))


if __name__ == "__main__":
    main()
