"""Builds a worker with all of its parts from the settings."""

from dataclasses import asdict, dataclass

import structlog

from qc_worker.engine.heatmaps import HeatmapWriter
from qc_worker.engine.in_flight import InFlight
from qc_worker.engine.intake import Deadlines
from qc_worker.engine.patience import Patience
from qc_worker.engine.pipeline import Pipeline
from qc_worker.engine.refresher import ModelRefresher
from qc_worker.engine.residents import ResidentModels
from qc_worker.engine.stop import StopSignal
from qc_worker.engine.worker import Worker
from qc_worker.ports.clock import Clock
from qc_worker.ports.frames import FrameSource
from qc_worker.ports.results import HeatmapCache
from qc_worker.settings import Settings
from qc_worker.transport.kafka.group.frame_source import KafkaFrameSource
from qc_worker.transport.kafka.release_log import KafkaReleaseLog
from qc_worker.transport.limits import MAX_RECORD_BYTES
from qc_worker.transport.redis.heatmap_cache import open_heatmap_cache
from qc_worker.wiring.brokers import kafka_access
from qc_worker.wiring.capacity import worker_capacity
from qc_worker.wiring.member_and_sink import group_member, worker_sink
from qc_worker.wiring.models import backbone_pool, model_loader, worker_pipeline

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class BuiltWorker:
    """A worker, not started yet, and the parts that a command starts, closes or asks for its health."""

    worker: Worker
    source: FrameSource
    pipeline: Pipeline
    residents: ResidentModels
    refresher: ModelRefresher
    heatmaps: HeatmapWriter
    cache: HeatmapCache


def build_worker(settings: Settings, *, slot: str, clock: Clock, stop: StopSignal, patience: Patience) -> BuiltWorker:
    """Build the worker of that slot; it connects to the brokers when it runs. Raises SettingsError."""
    residents, capacity = ResidentModels(), worker_capacity(settings)
    log.info("worker capacity", **asdict(capacity))
    backbones = backbone_pool(settings, warmup_sizes=(1, capacity.max_batch_size), compiled=settings.compile)
    loader = model_loader(settings, backbones)
    member = group_member(settings)
    source = KafkaFrameSource(member)
    cache = open_heatmap_cache(
        settings.redis_url, ttl_s=settings.heatmap_ttl_s, timeout_s=settings.redis_timeout_ms / 1000
    )
    heatmaps = HeatmapWriter(cache)
    pipeline = worker_pipeline(settings, backbones, heatmaps, clock)
    worker = Worker(
        source=source,
        sink=worker_sink(settings, member, slot=slot),
        pipeline=pipeline,
        residents=residents,
        in_flight=InFlight(
            max_frames=capacity.max_in_flight_frames,
            max_bytes=capacity.max_in_flight_bytes,
            max_record_bytes=max(MAX_RECORD_BYTES, settings.max_frame_bytes),
        ),
        clock=clock,
        stop=stop,
        patience=patience,
        deadlines=Deadlines(settings.deadline_ms, clock),
    )
    releases = KafkaReleaseLog(kafka_access(settings), topic=settings.models_topic)
    refresher = ModelRefresher(releases, loader, residents, clock=clock, stop=stop, give_up=pipeline.give_up)
    return BuiltWorker(worker, source, pipeline, residents, refresher, heatmaps, cache)
