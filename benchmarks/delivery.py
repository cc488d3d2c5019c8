"""What exactly once costs: the worker's plumbing with transactions beside the same without, in turns in one run.

Broker, source, threads and sinks are the real ones, decoder and model answer at once (`harness/null_worker.py`), or the
model takes a while without computing, as a GPU would. Each side judges the same topic in a group of its own. Last, at
half load: the time from camera to an inspection that readers may see.

Needs a broker with transactions: QC_TEST_KAFKA names an Apache Kafka; it shares this machine's cores. Prints one JSON
object: {"plumbing": {"exactly_once_fps", "at_least_once_fps", "cost", ...}, "with_a_model": {...}, "half_load": {...}}.
"""

import argparse
import json
import os
import statistics
import tempfile
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from threading import Thread
from uuid import uuid4

from benchmarks.harness.load import send_all, send_evenly
from benchmarks.harness.machine import machine, versions
from benchmarks.harness.plant import Plant, plant

MODES = ("at-least-once", "exactly-once")
BATCH_SIZE = 8
MODEL_BATCH_MS = 20.0
"""Eight frames in 20 ms: 400 frames a second."""


def main() -> None:
    options = _options()
    if not os.environ.get("QC_TEST_KAFKA"):
        raise SystemExit("error: the embedded broker has no transactions; name an Apache Kafka with QC_TEST_KAFKA")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with plant(folder, batch_size=BATCH_SIZE, cache_dir=folder / "kernels") as ready:
            topic = f"{ready.topic('images')}-blank"
            send_all(ready, topic, [os.urandom(options.frame_bytes)], options.frames)
            plumbing = _compared(ready, topic, options, batch_ms=0.0)
            modelled = _compared(ready, topic, options, batch_ms=MODEL_BATCH_MS)
            half_load = _half_load(ready, options)
    about = {"benchmark": "delivery", "frame_kb": options.frame_bytes / 1000, "rounds": options.rounds}
    stamp = {"date": datetime.now(UTC).date().isoformat(), "machine": machine(), "versions": versions()}
    print(json.dumps({**about, "plumbing": plumbing, "with_a_model": modelled, "half_load": half_load, **stamp}))


def _compared(ready: Plant, topic: str, options: argparse.Namespace, *, batch_ms: float) -> dict[str, object]:
    """Medians of both modes over what lies ready."""
    rounds = _in_turns(options.rounds, lambda mode: _side(ready, topic, mode, options.frames, batch_ms))
    fps = {mode: statistics.median(run["fps"] for run in runs) for mode, runs in rounds.items()}
    cost = round(1 - fps["exactly-once"] / fps["at-least-once"], 4)
    named = ("fps", "cpu_us_per_frame", "frames_per_publish", "ms_per_publish")
    return {"batch_ms": batch_ms, **_medians(rounds, named), "cost": cost}


def _half_load(ready: Plant, options: argparse.Namespace) -> dict[str, object]:
    """Time from camera to readable inspection, of frames that come evenly at half the rate of full load."""
    rate = BATCH_SIZE * 1000 / MODEL_BATCH_MS / 2
    frames = round(rate * options.half_load_s)

    def side(mode: str) -> Mapping[str, float]:
        topic = f"{ready.topic('images')}-{uuid4().hex[:8]}"
        blank = [os.urandom(options.frame_bytes)]
        camera = Thread(target=lambda: send_evenly(ready, topic, blank, frames, fps=rate))
        camera.start()
        figures = _side(ready, topic, mode, frames, MODEL_BATCH_MS)
        camera.join()
        return figures

    rounds = _in_turns(options.rounds, side)
    return {"offered_fps": rate, "batch_ms": MODEL_BATCH_MS, **_medians(rounds, ("p50_ms", "p95_ms", "p99_ms"))}


def _in_turns(rounds: int, side: Callable[[str], Mapping[str, float]]) -> dict[str, list[Mapping[str, float]]]:
    """Runs of both modes; who goes first changes from round to round."""
    runs: dict[str, list[Mapping[str, float]]] = {mode: [] for mode in MODES}
    for number in range(rounds):
        for mode in MODES if number % 2 else reversed(MODES):
            runs[mode].append(side(mode))
    return runs


def _medians(rounds: Mapping[str, list[Mapping[str, float]]], named: Sequence[str]) -> dict[str, object]:
    """Of both modes, and the first figure of every round."""
    figures: dict[str, object] = {}
    for mode, runs in rounds.items():
        own = mode.replace("-", "_")
        figures |= {f"{own}_{name}": round(statistics.median(run[name] for run in runs), 1) for name in named}
        figures[f"{own}_rounds_{named[0]}"] = [round(run[named[0]], 1) for run in runs]
    return figures


def _side(ready: Plant, topic: str, mode: str, frames: int, batch_ms: float) -> Mapping[str, float]:
    letters = ready.topic("dead_letter")
    own = {"dead_letter_topic": letters, "delivery": mode, "batch_ms": batch_ms}
    return ready.side("harness.null_worker", topic=topic, frames=frames, **own)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--frames", type=int, default=5000, help="judged by each side in each round")
    parser.add_argument("--half-load-s", type=float, default=15, help="seconds of half load, each side and round")
    parser.add_argument("--frame-bytes", type=int, default=100_000)
    parser.add_argument("--json", action="store_true", help="accepted for uniformity; JSON is all there is")
    return parser.parse_args()


if __name__ == "__main__":
    main()
