"""What exactly once costs: the worker's plumbing with transactions beside the same without, in turns in one run.

Broker, source, threads and sinks are the real ones, decoder and model answer at once (`_null_worker.py`) or the model
takes a while without computing, as a GPU would. Each side judges the same topic in a consumer group of its own.

Needs a broker with transactions: QC_TEST_KAFKA names an Apache Kafka; it shares this machine's cores. Prints one JSON
object: {"plumbing": {"exactly_once_fps", "at_least_once_fps", "cost", ...}, "with_a_model": {...}}.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from benchmarks._machine import machine, versions
from benchmarks._stream_load import send_all
from benchmarks._stream_plant import Plant, plant

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
    about = {"benchmark": "delivery", "frame_kb": options.frame_bytes / 1000, "rounds": options.rounds}
    stamp = {"date": datetime.now(UTC).date().isoformat(), "machine": machine(), "versions": versions()}
    print(json.dumps({**about, "plumbing": plumbing, "with_a_model": modelled, **stamp}))


def _compared(ready: Plant, topic: str, options: argparse.Namespace, *, batch_ms: float) -> dict[str, object]:
    """Medians of both modes; who goes first changes from round to round."""
    rounds: dict[str, list[Mapping[str, float]]] = {mode: [] for mode in MODES}
    for number in range(options.rounds):
        for mode in MODES if number % 2 else reversed(MODES):
            rounds[mode].append(_side(ready, topic, mode, options.frames, batch_ms))
    figures: dict[str, object] = {"batch_ms": batch_ms}
    for mode, runs in rounds.items():
        for figure in ("fps", "cpu_us_per_frame", "frames_per_publish", "ms_per_publish"):
            name = f"{mode.replace('-', '_')}_{figure}"
            figures[name] = round(statistics.median(run[figure] for run in runs), 1)
        figures[f"{mode.replace('-', '_')}_rounds_fps"] = [round(run["fps"], 1) for run in runs]
    fps = {mode: statistics.median(run["fps"] for run in runs) for mode, runs in rounds.items()}
    return {**figures, "cost": round(1 - fps["exactly-once"] / fps["at-least-once"], 4)}


def _side(ready: Plant, topic: str, mode: str, frames: int, batch_ms: float) -> Mapping[str, float]:
    own = {
        "bootstrap-servers": ready.bootstrap_servers,
        "topic": topic,
        "results-topic": ready.topic("feedback"),
        "dead-letter-topic": ready.topic("dead_letter"),
        "group": f"{ready.environment['QC_CONSUMER_GROUP']}-{uuid4().hex[:8]}",
        "frames": str(frames),
        "session-timeout-ms": str(ready.session_timeout_ms),
        "delivery": mode,
        "batch-ms": str(batch_ms),
    }
    arguments = [word for name, value in own.items() for word in (f"--{name}", value)]
    command = [sys.executable, "-m", "benchmarks._null_worker", *arguments]
    side = subprocess.run(
        command, env=ready.environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True
    )
    figures: dict[str, float] = json.loads(side.stdout)
    return figures


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--frames", type=int, default=5000, help="judged by each side in each round")
    parser.add_argument("--frame-bytes", type=int, default=100_000)
    parser.add_argument("--json", action="store_true", help="accepted for uniformity; JSON is all there is")
    return parser.parse_args()


if __name__ == "__main__":
    main()
