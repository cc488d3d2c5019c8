"""Measure how much the heatmap cache delays verdicts: without a cache, with Redis, and with a broken Redis.

Judge, heatmap writer and Redis adapter are the worker's own. Batches of eight rejected frames, each of which needs a
heatmap, come at an even pace. The time of `Judge.judge` is measured: a verdict waits for nothing else. Sides take turns
in one run:

- none: `redis_url` is empty.
- up: Redis answers.
- frozen: Redis accepts connections but does not answer (SIGSTOP).
- full: Redis refuses every write (maxmemory).
- gone: nothing listens on the port.

Prints one JSON object: {"none": {"mean_ms", "p50_ms", "p99_ms", ...}, ..., "worst_added_ms", "within_limit"}.
"""

import argparse
import json
import os
import shutil
import signal
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

import numpy as np
import torch
from redis import Redis

from benchmarks.harness.machine import machine, versions
from qc_worker.domain.calibration import Calibration
from qc_worker.domain.frame import Position, Record
from qc_worker.embedded.server import LOOPBACK, Server, free_port
from qc_worker.embedded.simulation.parts_line import Simulation
from qc_worker.engine.decoding import Decoded, decode
from qc_worker.engine.heatmaps import HeatmapWriter
from qc_worker.engine.in_flight import Ticket
from qc_worker.engine.inference import Inferred
from qc_worker.engine.intake import admit
from qc_worker.engine.judge import Judge
from qc_worker.engine.residents import Resident, ResidentModels
from qc_worker.imaging.opening import ImageLimits
from qc_worker.observability.logging import configure_logging
from qc_worker.ports.results import HeatmapCache
from qc_worker.runtime.clock import SystemClock
from qc_worker.simplenet.head import Head
from qc_worker.simplenet.head_shape import HeadShape
from qc_worker.simplenet.inference.folded import fold
from qc_worker.simplenet.inference.scored import Scored
from qc_worker.simplenet.spec import EmbeddingSpec
from qc_worker.transport.redis.heatmap_cache import cache_answers, open_heatmap_cache
from qc_worker.wire.images import encode_frame

SIDES = ("none", "up", "frozen", "full", "gone")
BATCH_SIZE = 8
INPUT_SIZE = 256
LIMIT_MS = 5.0
TTL_S = 60
SPEC = EmbeddingSpec(
    "none", "", levels=(16,), patch_size=1, input_size=(INPUT_SIZE, INPUT_SIZE), aspect="squash", grid_stride=16
)
HEAD = HeadShape((1,), adapted=(1,), components=(0,), discriminators=((0,),), hidden=1)


def main() -> None:
    configure_logging("warning", "json")  # to stderr: stdout is for the JSON object alone
    options = _options()
    batch = _batch()
    milliseconds: dict[str, list[float]] = {side: [] for side in SIDES}
    with _redis() as url:
        for number in range(options.rounds):
            for side in SIDES if number % 2 else reversed(SIDES):
                with _broken(url, side) as asked:
                    milliseconds[side] += _judged(batch, asked, options)
    sides = {side: _figures(times) for side, times in milliseconds.items()}
    added = {side: round(figures["mean_ms"] - sides["none"]["mean_ms"], 3) for side, figures in sides.items()}
    worst = max(added.values())
    about = {"benchmark": "heatmap_cache", "batch_size": BATCH_SIZE, "pace_ms": options.pace_ms}
    found = {"added_ms": added, "worst_added_ms": worst, "limit_ms": LIMIT_MS, "within_limit": worst <= LIMIT_MS}
    stamp = {"date": datetime.now(UTC).date().isoformat(), "machine": machine(), "versions": versions()}
    print(json.dumps({**about, **sides, **found, **stamp}))


def _judged(batch: Sequence[Decoded], url: str, options: argparse.Namespace) -> list[float]:
    """Return milliseconds of each batch, including those in which the cache is found to be unreachable."""
    cache: HeatmapCache = open_heatmap_cache(url, ttl_s=TTL_S)
    heatmaps, clock = HeatmapWriter(cache), SystemClock()
    judge = Judge(heatmaps, clock, heatmap_pass_share=0.0)
    heatmaps.start()
    times = []
    due_s = time.monotonic()
    for _ in range(options.batches):
        time.sleep(max(0.0, due_s - time.monotonic()))
        due_s += options.pace_ms / 1000
        scored = _scored()
        started_s = time.monotonic()
        judge.judge(Inferred(batch, scored, started_s))
        times.append(1000 * (time.monotonic() - started_s))
    heatmaps.close()
    cache.close()
    return times


def _batch() -> list[Decoded]:
    """Make a batch of eight simulated frames, decoded."""
    residents, clock = ResidentModels(), SystemClock()
    calibration = Calibration(scores=(-1.0, 0.0, 1.0), max_false_reject=0.25)
    residents.swap(Resident("A", "v1", SPEC, fold(Head(HEAD).eval()), calibration))
    simulation, limits = Simulation("A", seed=9), ImageLimits(max_bytes=1 << 24, max_pixels=1 << 24)
    frames = []
    for offset in range(BATCH_SIZE):
        now = datetime.now(UTC)
        message = encode_frame(simulation.frame(offset).content, line="A", camera="c1", captured_at=now)
        headers = tuple(message.headers)
        record = Record(Position("images", 0, offset), message.key, message.content, headers, appended_at=now)
        frames.append(decode(admit(Ticket(record, clock.monotonic()), residents), limits, clock))
    return frames


def _scored() -> Scored:
    """Make scores and maps with a round defect well above the threshold."""
    rows, columns = np.mgrid[:INPUT_SIZE, :INPUT_SIZE]
    defect = np.exp(-((rows - 100) ** 2 + (columns - 140) ** 2) / (2 * 20**2)).astype(np.float32)
    maps = torch.from_numpy(5 * defect).repeat(BATCH_SIZE, 1, 1)
    return Scored(maps.amax(dim=(1, 2)), maps, "float32")


@contextmanager
def _redis() -> Iterator[str]:
    program, port = shutil.which("redis-server"), free_port()
    if program is None:
        raise SystemExit("error: redis-server is not installed (Debian package: redis-server)")
    url = f"redis://{LOOPBACK}:{port}/0"
    server = Server("redis-server", [program, "--port", str(port), "--bind", LOOPBACK, "--save", ""])
    server.start(lambda: cache_answers(url))
    try:
        yield url
    finally:
        server.stop()


@contextmanager
def _broken(url: str, side: str) -> Iterator[str]:
    """Bring Redis into the state of a side, and yield the URL to use."""
    with Redis.from_url(url) as admin:
        if side == "full":
            admin.config_set("maxmemory-policy", "noeviction")
            admin.config_set("maxmemory", "1mb")
        process = int(admin.info("server")["process_id"])
        if side == "frozen":
            os.kill(process, signal.SIGSTOP)
        try:
            yield {"none": "", "gone": f"redis://{LOOPBACK}:{free_port()}/0"}.get(side, url)
        finally:
            if side == "frozen":
                os.kill(process, signal.SIGCONT)
            admin.config_set("maxmemory", "0")


def _figures(milliseconds: Sequence[float]) -> dict[str, float]:
    of_hundred = statistics.quantiles(milliseconds, n=100, method="inclusive")
    figures = {
        "mean_ms": statistics.mean(milliseconds),
        "p50_ms": of_hundred[49],
        "p99_ms": of_hundred[98],
        "max_ms": max(milliseconds),
    }
    return {name: round(figure, 3) for name, figure in figures.items()} | {"batches": len(milliseconds)}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--batches", type=int, default=100, help="batches of each side in each round")
    parser.add_argument("--pace-ms", type=float, default=80.0, help="time between two batches: 80 is 100 frames/s")
    parser.add_argument("--json", action="store_true", help="accepted for uniformity; JSON is all there is")
    return parser.parse_args()


if __name__ == "__main__":
    main()
