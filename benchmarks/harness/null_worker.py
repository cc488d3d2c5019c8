"""Run a worker whose decoder and model take no time; broker, source, threads and sink are real.

It judges the frames of a topic until it has published --frames inspections, then prints the cost of a frame as one JSON
line.
"""
# ruff: noqa: E402 -- memory settings must be made before torch is imported

import argparse
import json
import os
import statistics
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.harness.no_decoding import always
from qc_worker.runtime.cores_and_memory import tune_process

tune_process()

import torch

from qc_worker.domain.calibration import Calibration
from qc_worker.domain.frame import Offsets
from qc_worker.domain.inspection import Outcome
from qc_worker.engine.batcher import Batcher, BatchQueue
from qc_worker.engine.decoding import Decoded, DecodeThreads
from qc_worker.engine.heatmaps import HeatmapWriter
from qc_worker.engine.in_flight import InFlight
from qc_worker.engine.inference import Inferred, ModelRunner
from qc_worker.engine.judge import Judge
from qc_worker.engine.patience import Patience
from qc_worker.engine.pipeline import Pipeline
from qc_worker.engine.residents import Resident, ResidentModels
from qc_worker.engine.stop import StopSignal
from qc_worker.engine.worker import Worker
from qc_worker.imaging.opening import ImageLimits
from qc_worker.imaging.preprocessing import Picture
from qc_worker.observability.logging import configure_logging
from qc_worker.ports.results import InspectionSink
from qc_worker.runtime.clock import SystemClock
from qc_worker.settings import Settings
from qc_worker.simplenet.head import Head
from qc_worker.simplenet.head_shape import HeadShape
from qc_worker.simplenet.inference.folded import fold
from qc_worker.simplenet.inference.precision import number_format
from qc_worker.simplenet.inference.scored import Scored
from qc_worker.simplenet.spec import EmbeddingSpec
from qc_worker.transport.kafka.connecting.access import KafkaAccess
from qc_worker.transport.kafka.group.frame_source import KafkaFrameSource
from qc_worker.transport.kafka.group.group_member import GroupMember
from qc_worker.transport.kafka_fixes.register import install_all
from qc_worker.transport.limits import MAX_RECORD_BYTES
from qc_worker.transport.redis.heatmap_cache import NullHeatmapCache
from qc_worker.wiring.capacity import capacity_on
from qc_worker.wiring.member_and_sink import worker_sink

LINES = ("A", "B")
SPEC = EmbeddingSpec("none", "", levels=(16,), patch_size=1, input_size=(1, 1), aspect="squash", grid_stride=16)
HEAD = HeadShape((1,), adapted=(1,), components=(0,), discriminators=((0,),), hidden=1)
PICTURE = Picture(torch.zeros((3, 1, 1), dtype=torch.uint8), image_size=(1, 1))
WARM_UP_SHARE = 0.2
"""Share of the frames judged before the clock starts: joining the group, connecting and loading code are not timed."""


def main() -> None:
    options = _options()
    configure_logging("info", "json")
    stop, meter = StopSignal(), Meter(options.frames)
    worker = _worker(options, stop, meter)
    meter.stop = stop
    worker.run()
    print(json.dumps(meter.figures()))


class NullRunner(ModelRunner):
    """Model runner with zero scores and maps that only sleeps for a given time, as if it waited for a device."""

    def __init__(self, wait_s: float) -> None:
        self._wait_s = wait_s  # the base class needs nothing else here

    def infer(self, batch: Sequence[Decoded]) -> Inferred:
        time.sleep(self._wait_s)
        scores, maps = torch.zeros(len(batch)), torch.zeros((len(batch), 1, 1))
        scored = Scored(scores, maps, number_format(scores.dtype))
        return Inferred(batch, scored, time.monotonic())

    def check_device(self) -> None:
        pass


@dataclass
class Meter:
    """Counts published frames, and records clocks at the end of the warm-up and after the last frame."""

    frames: int
    stop: StopSignal | None = None
    published: int = 0
    publishes: int = 0
    publish_s: float = 0.0
    _marks: list["_Mark"] = field(default_factory=list)
    _taken_ms: list[float] = field(default_factory=list)

    def count(self, outcomes: Sequence[Outcome], publish_s: float) -> None:
        now = datetime.now(UTC)
        self._taken_ms += [1000 * (now - at).total_seconds() for one in outcomes if (at := one.inspection.captured_at)]
        self.published += len(outcomes)
        self.publishes += 1
        self.publish_s += publish_s
        if not self._marks and self.published >= WARM_UP_SHARE * self.frames:
            self._marks.append(_mark(self))
        if self.published >= self.frames and self.stop and not self.stop.is_set():
            self._marks.append(_mark(self))
            self.stop.set()

    def figures(self) -> dict[str, float]:
        first, last = self._marks
        frames = last.published - first.published
        return {
            "fps": frames / (last.at_s - first.at_s),
            "cpu_us_per_frame": 1e6 * (last.cpu_s - first.cpu_s) / frames,
            "frames_per_publish": frames / (last.publishes - first.publishes),
            **self._percentiles(),
            "ms_per_publish": 1000 * (last.publish_s - first.publish_s) / (last.publishes - first.publishes),
            **{
                f"{name}_cpu_us_per_frame": 1e6 * (cpu_s - first.threads_s.get(name, 0.0)) / frames
                for name, cpu_s in last.threads_s.items()
            },
        }

    def _percentiles(self) -> dict[str, float]:
        """Compute percentiles from camera to readable inspection, ms, of the second half, after the initial backlog."""
        of_hundred = statistics.quantiles(self._taken_ms[len(self._taken_ms) // 2 :], n=100, method="inclusive")
        return {f"p{percent}_ms": of_hundred[percent - 1] for percent in (50, 95, 99)}


@dataclass(frozen=True)
class _Mark:
    at_s: float
    cpu_s: float
    threads_s: dict[str, float]
    published: int
    publishes: int
    publish_s: float


def _mark(meter: Meter) -> _Mark:
    now_s, cpu_s = time.monotonic(), time.process_time()
    return _Mark(now_s, cpu_s, _threads_s(), meter.published, meter.publishes, meter.publish_s)


def _threads_s() -> dict[str, float]:
    """Return CPU seconds of Python's threads by role; empty if the system does not report them."""
    seconds: dict[str, float] = {}
    for thread in threading.enumerate():
        account = Path(f"/proc/self/task/{thread.native_id}/schedstat")
        if account.exists():
            name = _role(thread.name)
            seconds[name] = seconds.get(name, 0.0) + int(account.read_text().split()[0]) / 1e9
    return seconds


def _role(thread_name: str) -> str:
    if thread_name.startswith("kafka"):
        return "producer_thread" if "producer" in thread_name else "consumer_thread"
    return thread_name.partition("_")[0].lower()


class CountedSink:
    """Wraps the real sink, and counts every successful publish."""

    def __init__(self, sink: InspectionSink, meter: Meter) -> None:
        self._sink = sink
        self._meter = meter
        self.start, self.close = sink.start, sink.close

    def publish(self, outcomes: Sequence[Outcome], offsets: Offsets) -> None:
        started_s = time.monotonic()
        self._sink.publish(outcomes, offsets)
        self._meter.count(outcomes, time.monotonic() - started_s)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("bootstrap-servers", "topic", "results-topic", "dead-letter-topic", "group"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--frames", type=int, required=True)
    parser.add_argument("--session-timeout-ms", type=int, default=45_000)
    parser.add_argument("--delivery", choices=["exactly-once", "at-least-once"], default="at-least-once")
    parser.add_argument("--batch-ms", type=float, default=0.0, help="how long the model takes, without computing")
    return parser.parse_args()


def _worker(options: argparse.Namespace, stop: StopSignal, meter: Meter) -> Worker:
    install_all()
    clock = SystemClock()
    settings = Settings(
        kafka_bootstrap_servers=options.bootstrap_servers,
        images_topic=options.topic,
        results_topic=options.results_topic,
        dead_letter_topic=options.dead_letter_topic,
        consumer_group=options.group,
        session_timeout_ms=options.session_timeout_ms,
        delivery=options.delivery,
    )
    capacity = capacity_on("cpu", settings)
    member = GroupMember(
        KafkaAccess(options.bootstrap_servers),
        topic=options.topic,
        group=options.group,
        max_frame_bytes=settings.max_frame_bytes,
        session_timeout_ms=options.session_timeout_ms,
        max_in_flight_frames=capacity.max_in_flight_frames,
    )
    sink = worker_sink(settings, member, slot=f"null-{os.getpid()}")
    return Worker(
        source=KafkaFrameSource(member),
        sink=CountedSink(sink, meter),
        pipeline=_pipeline(settings, clock, NullRunner(options.batch_ms / 1000)),
        residents=_residents(),
        in_flight=InFlight(
            max_frames=capacity.max_in_flight_frames,
            max_bytes=capacity.max_in_flight_bytes,
            max_record_bytes=MAX_RECORD_BYTES,
        ),
        clock=clock,
        stop=stop,
        patience=Patience(),
    )


def _pipeline(settings: Settings, clock: SystemClock, runner: ModelRunner) -> Pipeline:
    capacity = capacity_on("cpu", settings)
    return Pipeline(
        runner=runner,
        judge=Judge(HeatmapWriter(NullHeatmapCache()), clock, heatmap_pass_share=settings.heatmap_pass_share),
        batches=BatchQueue(Batcher(max_size=capacity.max_batch_size, max_wait_s=settings.max_wait_ms / 1000), clock),
        decoding=DecodeThreads(
            threads=capacity.decode_threads,
            limits=ImageLimits(settings.max_frame_bytes, settings.max_frame_pixels),
            clock=clock,
            decode_picture=always(PICTURE),
        ),
        clock=clock,
    )


def _residents() -> ResidentModels:
    residents = ResidentModels()
    calibration = Calibration(scores=(-1.0, 0.0, 1.0), max_false_reject=0.25)
    for line in LINES:
        residents.swap(Resident(line, "null", SPEC, fold(Head(HEAD).eval()), calibration))
    return residents


if __name__ == "__main__":
    main()
