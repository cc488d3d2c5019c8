"""Run a whole worker in this process without a broker, a model or a device: what is left is the host's own work."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import torch

from benchmarks.harness.no_decoding import always
from qc_worker.domain.calibration import Calibration
from qc_worker.domain.frame import Offsets
from qc_worker.domain.inspection import Outcome
from qc_worker.embedded.simulation.parts_line import Simulation
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
from qc_worker.ports.results import InspectionSink
from qc_worker.runtime.clock import SystemClock
from qc_worker.simplenet.head import Head
from qc_worker.simplenet.head_shape import HeadShape
from qc_worker.simplenet.inference.folded import fold
from qc_worker.simplenet.inference.scored import Scored
from qc_worker.simplenet.spec import EmbeddingSpec
from qc_worker.transport.limits import MAX_RECORD_BYTES
from qc_worker.transport.memory.broker import MemoryBroker
from qc_worker.transport.memory.frames import MemoryFrameSource
from qc_worker.transport.memory.results import MemorySink
from qc_worker.transport.outgoing import OutgoingRecord
from qc_worker.transport.redis.heatmap_cache import NullHeatmapCache
from qc_worker.wire.images import encode_frame

INPUT_SIZE = 256
IMAGE_SIZE = (320, 384)
LINES = ("A", "B")
SPEC = EmbeddingSpec(
    "none", "", levels=(16,), patch_size=1, input_size=(INPUT_SIZE, INPUT_SIZE), aspect="squash", grid_stride=16
)
HEAD = HeadShape((1,), adapted=(1,), components=(0,), discriminators=((0,),), hidden=1)
CALIBRATION = Calibration(scores=(-1.0, 0.0, 1.0), max_false_reject=0.25)
LIMITS = ImageLimits(max_bytes=1 << 24, max_pixels=1 << 24)
PICTURE = Picture(torch.zeros((3, INPUT_SIZE, INPUT_SIZE), dtype=torch.uint8), IMAGE_SIZE)
BATCH_SIZE, DECODE_THREADS, MAX_FRAMES, MAX_BYTES = 8, 2, 128, 256 << 20
"""As a worker on a CPU has them."""


@dataclass(frozen=True, slots=True)
class HostCost:
    """Frames per second of a run, and the CPU time of a frame in all threads."""

    fps: float
    cpu_us_per_frame: float


def residents() -> ResidentModels:
    """Make the models of both lines; they reject scores above 1."""
    models = ResidentModels()
    for line in LINES:
        models.swap(Resident(line, "none", SPEC, fold(Head(HEAD).eval()), CALIBRATION))
    return models


def messages(count: int) -> list[OutgoingRecord]:
    """Make frames of 25 to 35 KB, as JPEG."""
    sent, now = [], datetime.now(UTC)
    contents = [Simulation("A", seed=9).frame(number).content for number in range(min(count, 8))]
    for number in range(count):
        message = encode_frame(
            contents[number % len(contents)], line=LINES[number % 2], camera=f"cam{number % 4}", captured_at=now
        )
        sent.append(OutgoingRecord("images", message.key, message.content, message.headers))
    return sent


def judge_all(sent: Sequence[OutgoingRecord], anomaly_map: torch.Tensor) -> HostCost:
    """Judge these frames, each with a score of the map's peak. Shape: (H, W)."""
    broker, stop, clock = MemoryBroker(), StopSignal(), SystemClock()
    for topic in ("images", "results", "images.dlq"):
        broker.create_topic(topic, partitions=2)
    for record in sent:
        broker.append(record)
    source = MemoryFrameSource(broker, topic="images", group="qc-worker")
    sink = MemorySink(broker, results_topic="results", dead_letter_topic="images.dlq", commit=source.commit)
    worker = Worker(
        source=source,
        sink=_StopsAfter(sink, len(sent), stop),
        pipeline=_pipeline(clock, _MapRunner(anomaly_map)),
        residents=residents(),
        in_flight=InFlight(max_frames=MAX_FRAMES, max_bytes=MAX_BYTES, max_record_bytes=MAX_RECORD_BYTES),
        clock=clock,
        stop=stop,
        patience=Patience(),
    )
    started_s, cpu_s = time.monotonic(), time.process_time()
    worker.run()
    cpu_us = 1e6 * (time.process_time() - cpu_s) / len(sent)
    return HostCost(len(sent) / (time.monotonic() - started_s), cpu_us)


def _pipeline(clock: SystemClock, runner: ModelRunner) -> Pipeline:
    return Pipeline(
        runner=runner,
        judge=Judge(HeatmapWriter(NullHeatmapCache()), clock, heatmap_pass_share=0.0),
        batches=BatchQueue(Batcher(max_size=BATCH_SIZE, max_wait_s=0.02), clock),
        decoding=DecodeThreads(threads=DECODE_THREADS, limits=LIMITS, clock=clock, decode_picture=always(PICTURE)),
        clock=clock,
    )


class _MapRunner(ModelRunner):
    """Gives every frame the same map at once."""

    def __init__(self, anomaly_map: torch.Tensor) -> None:
        self._map, self._score = anomaly_map, float(anomaly_map.max())  # the base class needs nothing else here

    def infer(self, batch: Sequence[Decoded]) -> Inferred:
        maps = self._map.expand(len(batch), -1, -1)
        return Inferred(batch, Scored(torch.full((len(batch),), self._score), maps, "float32"), time.monotonic())

    def check_device(self) -> None:
        pass  # there is none


class _StopsAfter:
    """Wraps the sink; stops the worker after so many inspections."""

    def __init__(self, sink: InspectionSink, count: int, stop: StopSignal) -> None:
        self._sink, self._left, self._stop = sink, count, stop
        self.start, self.close = sink.start, sink.close

    def publish(self, outcomes: Sequence[Outcome], offsets: Offsets) -> None:
        self._sink.publish(outcomes, offsets)
        self._left -= len(outcomes)
        if self._left <= 0:
            self._stop.set()
