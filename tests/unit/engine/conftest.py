"""A whole worker in the process: real model and threads, in-memory broker, cache and store."""

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
import torch

from qc_worker.domain.errors import QcError
from qc_worker.domain.frame import Record
from qc_worker.domain.inspection import Inspection
from qc_worker.engine.batcher import Batcher, BatchQueue
from qc_worker.engine.decoding import DecodeThreads, Decoding
from qc_worker.engine.heatmaps import HeatmapWriter
from qc_worker.engine.in_flight import InFlight
from qc_worker.engine.inference import BackbonePool, Computing, ModelRunner
from qc_worker.engine.intake import Deadlines
from qc_worker.engine.judge import Judge
from qc_worker.engine.model_loader import ModelLoader
from qc_worker.engine.patience import Patience
from qc_worker.engine.pipeline import Pipeline
from qc_worker.engine.refresher import ModelRefresher
from qc_worker.engine.residents import ResidentModels
from qc_worker.engine.stop import StopSignal
from qc_worker.engine.worker import Worker
from qc_worker.imaging.opening import ImageLimits
from qc_worker.ports.clock import Clock
from qc_worker.ports.results import InspectionSink
from qc_worker.registry.store import FsspecModelStore
from qc_worker.runtime.clock import SystemClock
from qc_worker.transport.memory.broker import MemoryBroker
from qc_worker.transport.memory.frames import MemoryFrameSource
from qc_worker.transport.memory.heatmaps import MemoryHeatmapCache
from qc_worker.transport.memory.models import MemoryReleaseLog
from qc_worker.transport.memory.results import MemorySink
from qc_worker.transport.outgoing import OutgoingRecord
from qc_worker.wire.json_types import decode_inspection
from tests.support import factories

MAX_FRAME_BYTES = 100_000
MAX_RECORD_BYTES = 1_100_000


PASSES_ALL = (1e6, 1e6, 1e6)
REJECTS_ALL = (-1e6, -1e6, -1e6)


@dataclass
class Plant:
    """One worker and what surrounds it."""

    folder: Path
    broker: MemoryBroker
    store: FsspecModelStore
    cache: MemoryHeatmapCache
    releases: MemoryReleaseLog
    residents: ResidentModels
    refresher: ModelRefresher
    source: MemoryFrameSource
    pipeline: Pipeline
    in_flight: InFlight
    heatmaps: HeatmapWriter
    worker: Worker
    stop: StopSignal
    failure: list[QcError] = field(default_factory=list)
    _thread: threading.Thread | None = None

    def train(
        self, line: str = "A", version: str = "v1", *, seed: int = 0, scores: tuple[float, ...] = (-5.0, 0.0, 5.0)
    ) -> None:
        """Put a model into the store and announce it."""
        release = factories.add_version(self.store, line, version, seed=seed, scores=scores)
        self.store.record_release(release)
        self.releases.announce(release)

    def move_threshold(self, version: str, *, of: str, scores: tuple[float, ...]) -> None:
        """Announce a version of line A that shares the head of another."""
        release = factories.share_head(self.store, version=version, of=of, scores=scores)
        self.store.record_release(release)
        self.releases.announce(release)

    def start(self) -> None:
        self.refresher.catch_up()
        self.run()

    def run(self) -> None:
        """Start with the models that are resident."""
        self.refresher.start()
        self.heatmaps.start()
        self._thread = threading.Thread(target=self._run, name="worker")
        self._thread.start()

    def _run(self) -> None:
        try:
            self.worker.run()
        except QcError as error:
            self.failure.append(error)

    def finish(self) -> None:
        self.stop.set()
        if self._thread:
            self._thread.join(20)
            assert not self._thread.is_alive()
        self.heatmaps.close()
        self.refresher.close()

    def send(self, record: Record) -> None:
        self.broker.append(
            OutgoingRecord("images", record.key, record.content, list(record.headers)),
            partition=record.position.partition,
        )

    def published(self) -> list[Inspection]:
        return [decode_inspection(record.content) for record in self.records("results")]

    def records(self, topic: str) -> list[Record]:
        return [
            record
            for partition in self.broker.partitions(topic)
            for record in self.broker.read(partition, 0, max_records=10_000)
        ]

    def wait_for(self, condition: Callable[[], bool], timeout_s: float = 30.0) -> None:
        deadline = monotonic() + timeout_s
        while not condition():
            assert monotonic() < deadline, "waited in vain"
            self.broker.wait_for_change(timeout_s=0.02, until=condition)

    def wait_for_inspections(self, count: int) -> list[Inspection]:
        self.wait_for(lambda: len(self.records("results")) >= count)
        return self.published()


MakePlant = Callable[..., Plant]


@pytest.fixture
def make_plant(tmp_path: Path) -> Iterator[Callable[..., Plant]]:
    plants: list[Plant] = []

    def make(broker: MemoryBroker | None = None, **options: Any) -> Plant:
        plants.append(build(tmp_path / str(len(plants)), broker or MemoryBroker(), Options(**options)))
        return plants[-1]

    yield make
    for plant in plants:
        plant.broker.available = True
        plant.finish()


@pytest.fixture
def plant(make_plant: Callable[..., Plant]) -> Plant:
    return make_plant()


@dataclass(frozen=True)
class Options:
    """What tests want otherwise."""

    patience: Patience = field(default_factory=Patience)
    max_frames: int = 64
    max_bytes: int = 10_000_000
    heatmap_pass_share: float = 0.0
    max_wait_s: float = 0.005
    deadline_ms: Mapping[str, int] = field(default_factory=dict)
    refresher_clock: Clock | None = None
    sink: Callable[[MemorySink], InspectionSink] = lambda sink: sink
    decoding: Callable[[Clock, ImageLimits], Decoding] = lambda clock, limits: DecodeThreads(
        threads=2, limits=limits, clock=clock
    )


def build(folder: Path, broker: MemoryBroker, options: Options) -> Plant:
    clock, stop, residents = SystemClock(), StopSignal(), ResidentModels()
    for topic in ("images", "results", "images.dlq"):
        broker.create_topic(topic, partitions=2)
    broker.create_topic("models", partitions=1)
    store = FsspecModelStore(str(folder / "store"))
    backbones = BackbonePool(lambda _: factories.backbone(), Computing(torch.device("cpu")))
    cache_dir = folder / "cache"
    loader = ModelLoader(store, backbones, cache_dir=cache_dir, local=FsspecModelStore(str(cache_dir)))
    source = MemoryFrameSource(broker, topic="images", group="qc-worker")
    cache = MemoryHeatmapCache(ttl_s=60)
    heatmaps = HeatmapWriter(cache)
    releases = MemoryReleaseLog(broker, topic="models")
    in_flight = InFlight(max_frames=options.max_frames, max_bytes=options.max_bytes, max_record_bytes=MAX_RECORD_BYTES)
    limits = ImageLimits(max_bytes=MAX_FRAME_BYTES, max_pixels=1_000_000)
    decoding = options.decoding(clock, limits)
    pipeline = Pipeline(
        runner=ModelRunner(backbones, clock),
        judge=Judge(heatmaps, clock, heatmap_pass_share=options.heatmap_pass_share),
        batches=BatchQueue(Batcher(max_size=4, max_wait_s=options.max_wait_s), clock),
        decoding=decoding,
        clock=clock,
    )
    sink = MemorySink(broker, results_topic="results", dead_letter_topic="images.dlq", commit=source.commit)
    worker = Worker(
        source=source,
        sink=options.sink(sink),
        pipeline=pipeline,
        residents=residents,
        in_flight=in_flight,
        clock=clock,
        stop=stop,
        patience=options.patience,
        deadlines=Deadlines(options.deadline_ms, clock),
    )
    refresher = ModelRefresher(
        releases, loader, residents, clock=options.refresher_clock or clock, stop=stop, give_up=pipeline.give_up
    )
    return Plant(
        folder,
        broker,
        store,
        cache,
        releases,
        residents,
        refresher,
        source,
        pipeline,
        in_flight,
        heatmaps,
        worker,
        stop,
    )
