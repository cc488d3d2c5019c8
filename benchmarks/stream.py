"""Measure frames per second through a broker: the whole worker, the floor, its plumbing alone, and a simple loop.

Sides take turns in one run, each in its own process; the others are stopped meanwhile.

- floor: the backbone's forward pass alone on batches of the same size, in the worker's number format, compiled alike.
- worker: `qc-worker run` with everything: broker, decoding, batching, model, verdicts, heatmaps, publishing,
  committing. At full load, all frames are ready. At half load, they come evenly at half that rate; the 99th percentile
  of a frame's time in the worker may then be the batching wait (`max_wait_ms`) and the time of two batches.
- plumbing: real broker, source, threads and sink; decoder and model take no time (`harness/null_worker.py`).
- first_loop: one frame at a time, from poll to commit (`rivals/first_loop.py`).

QC_TEST_KAFKA names the broker, else the embedded one runs; either shares this machine's cores. Prints one JSON
object: {"floor_fps", "worker_fps", "worker_over_floor", "half_load", "plumbing_fps", "first_loop_fps", ...}.
"""

import argparse
import json
import os
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import torch

from benchmarks.harness.contestant import SideProcess, SideSpec
from benchmarks.harness.live_model import announce_models, weights_of
from benchmarks.harness.load import Load, send_all, send_evenly, simulated_frames
from benchmarks.harness.machine import machine, versions
from benchmarks.harness.plant import Plant, WorkerProcess, plant
from qc_worker.settings import Settings
from qc_worker.simplenet.inference.precision import compute_dtype, number_format

PLUMBING_FRAME_BYTES = 100_000
TURN_S = 3.0

Figures = Mapping[str, float]


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        options.cache_dir = options.cache_dir or folder / "kernels"
        ready = stack.enter_context(plant(folder, batch_size=options.batch_size, cache_dir=options.cache_dir))
        spec = _floor_spec(folder, options)
        announce_models(ready, folder, backbone=spec.backbone, weights=Path(spec.weights))
        bench = Bench(ready, spec, options)
        try:
            rounds = [bench.round() for _ in range(options.rounds)]
            half_load = bench.half_load(_medians(rounds))
            resident_mb = bench.worker.resident_mb()
        finally:
            bench.close()
    print(json.dumps(_summary(spec, ready, rounds, half_load) | {"worker_resident_mb": round(resident_mb)}))


class Bench:
    """The processes that take turns, and their frames."""

    def __init__(self, plant: Plant, spec: SideSpec, options: argparse.Namespace) -> None:
        self._plant = plant
        self._options = options
        self._frames = simulated_frames()
        self._spec = spec
        self.worker = WorkerProcess(plant)
        self.worker.wait_until_ready()
        with self.worker.stopped():
            self._floor = SideProcess(self._spec, cache_dir=options.cache_dir)
            self._floor.ready()
            self._blank_topic = f"{plant.topic('images')}-blank"
            blank = os.urandom(PLUMBING_FRAME_BYTES)
            send_all(plant, self._blank_topic, [blank], options.plumbing_frames)

    def round(self) -> dict[str, float]:
        """Run one turn of every side, and return the figures."""
        load = Load(self._plant)
        with self.worker.stopped():
            floor = self._floor.time(batch_size=self._options.batch_size, lines=1, turn_s=TURN_S)
            send_all(self._plant, self._plant.topic("images"), self._frames, self._options.frames)
        cpu_s = self.worker.cpu_s()
        judged = load.wait_for(self._options.frames)
        cpu_ms = 1000 * (self.worker.cpu_s() - cpu_s) / self._options.frames
        with self.worker.stopped():
            plumbing, first_loop = self._plumbing(), self._first_loop()
        return {
            "floor_fps": floor.fps,
            "worker_fps": judged.fps,
            "worker_over_floor": judged.fps / floor.fps,
            "worker_cpu_ms_per_frame": cpu_ms,
            "inference_ms_per_batch": judged.inference_ms,
            "inference_ms_per_batch_median": judged.inference_ms_median,
            "decode_ms": judged.decode_ms,
            "heatmap_share": judged.heatmap_share,
            **{f"plumbing_{name}": figure for name, figure in plumbing.items()},
            "first_loop_fps": first_loop["fps"],
        }

    def half_load(self, full_load: Figures) -> dict[str, object]:
        """Measure latencies at half the rate of full load, and compare them with their limit."""
        load, rate = Load(self._plant), full_load["worker_fps"] / 2
        frames = max(20, round(rate * self._options.half_load_s))
        send_evenly(self._plant, self._plant.topic("images"), self._frames, frames, fps=rate)
        judged = load.wait_for(frames)
        batch_ms = full_load["inference_ms_per_batch_median"]
        limit_ms = Settings().max_wait_ms + 2 * batch_ms
        # Until November 2026, the limit used the time that the whole worker takes for a batch, which is longer.
        by_throughput_ms = Settings().max_wait_ms + 2 * self._options.batch_size * 1000 / full_load["worker_fps"]
        return {
            "offered_fps": round(rate, 1),
            "frames": frames,
            "in_worker_ms": asdict(judged.in_worker_ms),
            "camera_to_result_ms": asdict(judged.camera_to_result_ms),
            "inference_ms_per_batch": round(batch_ms, 1),
            "limit_ms": round(limit_ms, 1),
            "within_limit": judged.in_worker_ms.p99 <= limit_ms,
            "limit_by_throughput_ms": round(by_throughput_ms, 1),
            "within_limit_by_throughput": judged.in_worker_ms.p99 <= by_throughput_ms,
        }

    def close(self) -> None:
        self._floor.close()
        self.worker.close()

    def _plumbing(self) -> dict[str, float]:
        dead_letters = self._plant.topic("dead_letter")
        frames = self._options.plumbing_frames
        return self._plant.side(
            "harness.null_worker", topic=self._blank_topic, frames=frames, dead_letter_topic=dead_letters
        )

    def _first_loop(self) -> dict[str, float]:
        spec, topic = self._spec, self._plant.topic("images")
        model = {"backbone": spec.backbone, "weights": spec.weights, "scratch": spec.scratch}
        return self._plant.side("rivals.first_loop", topic=topic, frames=self._options.first_loop_frames, **model)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", choices=["efficientnet_lite0", "wide_resnet50_2"], default="efficientnet_lite0")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--frames", type=int, default=1000, help="frames at full load in a round")
    parser.add_argument("--plumbing-frames", type=int, default=5000)
    parser.add_argument("--first-loop-frames", type=int, default=60)
    parser.add_argument("--half-load-s", type=float, default=10, help="seconds of half load")
    parser.add_argument("--cache-dir", type=Path, help="folder with compiled kernels of earlier runs")
    parser.add_argument("--quick", action="store_true", help="a smoke test: nothing compiled, few frames")
    parser.add_argument("--json", action="store_true", help="accepted for uniformity; JSON is all there is")
    options = parser.parse_args()
    if options.quick:
        os.environ["QC_COMPILE"] = "false"
        options.rounds, options.frames, options.plumbing_frames, options.first_loop_frames = 1, 60, 200, 5
        options.half_load_s = 1
    return options


def _floor_spec(folder: Path, options: argparse.Namespace) -> SideSpec:
    settings = Settings()
    return SideSpec(
        "floor",
        options.backbone,
        str(weights_of(options.backbone, folder)),
        str(folder),
        model="default",
        precision=number_format(compute_dtype(torch.device("cpu"), settings.precision)),
        compiled=settings.compile,
        max_batch_size=options.batch_size,
    )


def _summary(
    spec: SideSpec, plant: Plant, rounds: Sequence[Figures], half_load: Mapping[str, object]
) -> dict[str, object]:
    medians = {name: round(figure, 3) for name, figure in _medians(rounds).items()}
    return {
        "benchmark": "stream",
        "broker": plant.broker,
        "backbone": spec.backbone,
        "setting": spec.setting,
        "batch_size": spec.max_batch_size,
        **medians,
        "half_load": half_load,
        "plumbing_frame_kb": PLUMBING_FRAME_BYTES / 1000,
        "worker_over_first_loop": round(medians["worker_fps"] / medians["first_loop_fps"], 2),
        "frame_kb": round(statistics.mean(map(len, simulated_frames())) / 1000, 1),
        "rounds": [{name: round(figure, 3) for name, figure in one.items()} for one in rounds],
        "date": datetime.now(UTC).date().isoformat(),
        "machine": machine(),
        "versions": versions(),
    }


def _medians(rounds: Sequence[Figures]) -> Figures:
    return {name: statistics.median(one[name] for one in rounds) for name in rounds[0]}


if __name__ == "__main__":
    main()
