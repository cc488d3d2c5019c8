"""Check for half an hour at full load that a worker's memory stays flat, and its frames and bytes in flight in limits.

A real `qc-worker run` with broker and heatmap cache has a constant backlog: a new frame is sent for each judged one.
Most frames have 29 KB; now and then comes a burst near `max_frame_bytes` (noise in PNG and JPEG, up to
`max_frame_pixels`), and some small and big ones cannot be decoded. Judged frames are deleted from the broker.

Memory is read from /proc. Frames and bytes in flight are the worker's gauges, set once a second and read every two, so
short peaks are missed; tests in tests/unit/engine prove that admission keeps the limits.

QC_TEST_KAFKA names the broker; without it, the benchmark runs for two minutes on the embedded one, which keeps every
frame.

Prints one JSON object: {"rss_mb_by_minute", "rss_start_mb", "rss_end_mb", "slope_mb_per_hour", "within_settings",
"missing", ...}.
"""

import argparse
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

from benchmarks.harness.live_model import announce_models, weights_of
from benchmarks.harness.machine import machine, versions
from benchmarks.harness.plant import Plant, plant
from benchmarks.harness.soak_curve import Sample, SoakedWorker, curve_figures, write_plot
from benchmarks.harness.soak_frames import FrameMix
from benchmarks.harness.soak_load import JudgedFrames, Seen, Sender
from qc_worker.settings import MEBIBYTE, Settings
from qc_worker.transport.kafka.inspection_feed import KafkaInspectionFeed
from qc_worker.wiring.capacity import worker_capacity

BACKBONE = "efficientnet_lite0"
BATCH_SIZE = 8
SAMPLE_EVERY_S = 2.0
REMOVE_EVERY_S = 30.0
SILENCE_S = 60.0
DRAINED_S = 5.0
"""Sampled for so long once every frame is judged."""
BURST_FRAMES = 24
"""More than the limit of bytes in flight allows."""
BURST_EVERY = 2_000
MINUTES = 30.0
EMBEDDED_MINUTES = 2.0
QUICK_BURST_FRAMES = 8
QUICK_BURST_EVERY = 500
QUICK_IN_FLIGHT_BYTES = 64 * MEBIBYTE
"""Low, so that the few big frames of a smoke test reach the limit too."""
QUICK_GIVE_BACK_S = 1.0
QUICK_SAMPLE_EVERY_S = 0.2
"""Short, so that many samples of a smoke test see the memory after freed memory was returned."""


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        cache_dir = options.cache_dir or folder / "kernels"
        ready = stack.enter_context(plant(folder, batch_size=BATCH_SIZE, cache_dir=cache_dir))
        announce_models(ready, folder, backbone=BACKBONE, weights=weights_of(BACKBONE, folder))
        mix = FrameMix(
            Settings().max_frame_bytes, Settings().max_frame_pixels, options.burst_frames, options.burst_every
        )
        soak = Soak(ready, mix, sample_every_s=options.sample_every_s)
        try:
            soak.run(minutes=options.minutes)
            summary = soak.summary()
        finally:
            soak.close()
    if options.plot:
        write_plot(soak.samples, options.plot)
    print(json.dumps(summary))


class Soak:
    """A worker under load, and everything measured of it."""

    def __init__(self, plant: Plant, mix: FrameMix, *, sample_every_s: float) -> None:
        self._plant = plant
        self._mix = mix
        self._sample_every_s = sample_every_s
        self._seen = Seen()
        self._errors = 0
        self._heatmaps = 0
        self._load_s = 0.0
        self._judged_under_load = 0
        self._sender = Sender(plant, self._mix, lambda: self._seen.frames)
        self._judged = None if plant.broker == "embedded" else JudgedFrames(plant)
        self._reader = KafkaInspectionFeed(plant.access, topic=plant.topic("results"))
        self._worker = SoakedWorker(plant)
        self.samples: list[Sample] = []
        self._drained: list[Sample] = []

    def run(self, *, minutes: float) -> None:
        """Keep the worker under load for `minutes`, then let it finish."""
        self._worker.wait_until_ready()
        self._reader.start()
        self._sender.start()
        started = monotonic()
        sample_at, remove_at = started + self._sample_every_s, started + REMOVE_EVERY_S
        while (now := monotonic()) < started + 60 * minutes:
            self._count()
            if now >= sample_at:
                sample_at = now + self._sample_every_s
                self._look(now - started)
            if now >= remove_at and self._judged:
                remove_at = now + REMOVE_EVERY_S
                self._judged.remove(self._seen.prefixes())
        self._load_s, self._judged_under_load = monotonic() - started, self._seen.frames
        self._finish()

    def summary(self) -> dict[str, object]:
        return {
            "benchmark": "soak",
            "broker": self._plant.broker,
            "backbone": BACKBONE,
            "batch_size": BATCH_SIZE,
            "minutes": round(self._load_s / 60, 2),
            "fps": round(self._judged_under_load / self._load_s, 1),
            **self._sent_and_judged(self._worker.metrics()),
            **_in_flight_figures(self.samples),
            **curve_figures(self.samples),
            "heap_drained_mb": round(min(one.heap_mb for one in self._drained), 1),
            "date": datetime.now(UTC).date().isoformat(),
            "machine": machine(),
            "versions": versions(),
        }

    def _sent_and_judged(self, metrics: Mapping[str, float]) -> dict[str, object]:
        return {
            "frames_judged": self._seen.frames,
            "frame_kb": round(self._mix.ordinary_bytes / 1000, 1),
            "big_frames": self._sender.big,
            "biggest_frame_bytes": self._mix.biggest_bytes,
            "undecodable_frames": self._sender.bad,
            "error_inspections": self._errors,
            "dead_letters": int(sum(_by_label(metrics, "qc_dead_letters_total").values())),
            "missing": self._sender.sent - self._seen.frames,
            "double": self._seen.doubles,
            "heatmap_keys": self._heatmaps,
            "heatmaps": _by_label(metrics, "qc_heatmaps_total"),
        }

    def close(self) -> None:
        self._worker.close()
        self._reader.close()
        if self._judged:
            self._judged.close()

    def _count(self) -> int:
        came = self._reader.poll(timeout_s=0.2)
        for published in came:
            self._seen.add(published.inspection.source)
            self._errors += published.inspection.verdict == "error"
            self._heatmaps += published.inspection.heatmap_key is not None
        return len(came)

    def _look(self, at_s: float) -> None:
        if not self._worker.alive() or not self._sender.alive():
            raise SystemExit(f"error: {'the sender' if self._worker.alive() else 'the worker'} died at {at_s:.0f} s")
        self.samples.append(self._worker.sample(at_s=at_s, backlog_frames=self._sender.backlog_frames()))

    def _finish(self) -> None:
        """Wait for the last inspections; some are missing if none arrives for SILENCE_S. Then sample what remains."""
        self._sender.stop()
        deadline = monotonic() + SILENCE_S
        while self._seen.frames < self._sender.sent and monotonic() < deadline:
            if self._count():
                deadline = monotonic() + SILENCE_S
        drained_s = monotonic()
        while not self._drained or monotonic() < drained_s + DRAINED_S:
            self._count()  # waits a moment
            self._drained.append(self._worker.sample(at_s=self._load_s, backlog_frames=0))


def _in_flight_figures(samples: Sequence[Sample]) -> dict[str, object]:
    capacity = worker_capacity(Settings())
    peak_frames = max(one.in_flight_frames for one in samples)
    peak_bytes = max(one.in_flight_bytes for one in samples)
    return {
        "peak_in_flight_frames": peak_frames,
        "max_in_flight_frames": capacity.max_in_flight_frames,
        "peak_in_flight_bytes": peak_bytes,
        "max_in_flight_bytes": capacity.max_in_flight_bytes,
        "within_settings": peak_frames <= capacity.max_in_flight_frames and peak_bytes <= capacity.max_in_flight_bytes,
        "lowest_backlog_frames": min(one.backlog_frames for one in samples),
    }


def _by_label(metrics: Mapping[str, float], name: str) -> dict[str, int]:
    return {key.removeprefix(name).strip(): int(count) for key, count in metrics.items() if key.split()[0] == name}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--minutes", type=float, help=f"under load (default {MINUTES:.0f}; embedded {EMBEDDED_MINUTES:.0f})"
    )
    parser.add_argument("--plot", type=Path, help="write the memory curve to this PNG file")
    parser.add_argument("--burst-frames", type=int, default=BURST_FRAMES, help="big frames in a row")
    parser.add_argument(
        "--burst-every", type=int, default=BURST_EVERY, help="frames from one burst's start to the next"
    )
    parser.add_argument("--cache-dir", type=Path, help="folder with compiled kernels of earlier runs")
    parser.add_argument("--quick", action="store_true", help="a smoke test: nothing compiled, small bursts and limits")
    parser.add_argument("--json", action="store_true", help="accepted for uniformity; JSON is all there is")
    options = parser.parse_args()
    options.sample_every_s = SAMPLE_EVERY_S
    options.minutes = options.minutes or (MINUTES if os.environ.get("QC_TEST_KAFKA") else EMBEDDED_MINUTES)
    if options.quick:
        os.environ["QC_COMPILE"] = "false"
        os.environ["QC_MAX_IN_FLIGHT_BYTES"] = str(QUICK_IN_FLIGHT_BYTES)
        os.environ["QC_GIVE_BACK_MEMORY_S"] = str(QUICK_GIVE_BACK_S)
        options.burst_frames, options.burst_every = QUICK_BURST_FRAMES, QUICK_BURST_EVERY
        options.sample_every_s = QUICK_SAMPLE_EVERY_S
    return options


if __name__ == "__main__":
    main()
