"""`qc-worker run`: build the worker from the settings and run it."""

import gc
import math
from contextlib import ExitStack
from dataclasses import replace
from threading import Thread

import structlog

from qc_worker.domain.errors import SettingsError
from qc_worker.engine.device.watch import DeviceWatch
from qc_worker.engine.patience import Patience
from qc_worker.engine.stop import StopSignal
from qc_worker.observability import metrics
from qc_worker.observability.exits import end_now
from qc_worker.observability.health import HealthServer
from qc_worker.runtime.clock import SystemClock
from qc_worker.runtime.cores_and_memory import freeze_long_lived, give_back_freed_memory, heap_in_use_bytes
from qc_worker.runtime.failpoints import arm
from qc_worker.runtime.worker_slot import worker_slot
from qc_worker.settings import Settings
from qc_worker.transport.kafka.codecs import missing_codecs
from qc_worker.transport.kafka.topics import TopicState, check_topics
from qc_worker.wiring.brokers import kafka_access, topic_plans
from qc_worker.wiring.built_worker import BuiltWorker, build_worker

FIRST_CONTACT_MS = 3_000
"""Connection timeout of the first check; short, so that a worker that waits for its broker still stops in time."""
LIVE_BEYOND_PATIENCE_S = 60.0
"""Added to the worker's own patience with a broker: restarting it earlier would only delay its recovery."""

log = structlog.get_logger()


def run_worker(settings: Settings) -> None:
    """Judge frames until SIGTERM or SIGINT. Raises QcError if an error ends it before that."""
    arm(settings.failpoints)
    if settings.gpu_decode:
        log.warning("thresholds were calibrated on pixels that the CPU decoded; those of gpu_decode differ a little")
    with worker_slot(settings.state_path) as slot:
        _run(settings, slot)


def _run(settings: Settings, slot: str) -> None:
    stop, clock, patience = StopSignal(), SystemClock(), Patience(broker_s=settings.broker_patience_s)
    stop.install()
    built = build_worker(settings, slot=slot, clock=clock, stop=stop, patience=patience)
    watch = DeviceWatch(built.pipeline.stuck_s, patience_s=settings.device_patience_s, end=end_now)
    health = _health(settings, built, watch)
    health.start()
    log.info("health endpoints", url=health.url)
    try:
        # Workers and brokers start in any order: wait as long as a running worker would, the attempts included.
        patience.keep_trying(lambda: _check_topics(settings), clock=clock, stop=stop, since=clock.monotonic())
        patience.keep_trying(built.refresher.catch_up, clock=clock, stop=stop, since=clock.monotonic())
        if not stop.is_set():
            built.refresher.start()
            built.heatmaps.start()
            built.refresher.wait_for_a_model(patience.broker_s)
            freeze_long_lived()
            _keep_giving_back_memory(settings.give_back_memory_s, stop)
            watch.start(stop)
            built.worker.run()
    finally:
        stop.set()
        with ExitStack() as stack:  # last in, first out
            stack.callback(health.close)
            stack.callback(built.cache.close)
            stack.callback(built.refresher.close)
            stack.callback(built.heatmaps.close)


def _keep_giving_back_memory(every_s: float, stop: StopSignal) -> None:
    """Return freed memory to the kernel every `every_s` (0: never), such as after a burst of large frames."""

    def run() -> None:
        is_stopped = False
        while not is_stopped:
            gc.collect()  # quick, as the objects of the start are frozen
            give_back_freed_memory()
            metrics.HEAP_BYTES.set(heap_in_use_bytes() or math.nan)
            is_stopped = stop.wait(every_s)

    if every_s:
        Thread(target=run, name="memory", daemon=True).start()


def _check_topics(settings: Settings) -> None:
    """Compare the topics with the settings and log the differences.

    Raises SettingsError if a topic is missing (a consumer without a topic waits silently and forever) or if one to
    write to is too small; TransportError.
    """
    access = replace(kafka_access(settings), connect_timeout_ms=FIRST_CONTACT_MS)
    reports = check_topics(access, topic_plans(settings))
    if codecs := missing_codecs():
        log.warning("frames in these codecs cannot be read: their packages are not installed", codecs=codecs)
    if missing := [report.name for report in reports if report.state is TopicState.MISSING]:
        raise SettingsError(f"no topic {', '.join(missing)}: create it with qc-worker topics")
    own = (settings.results_topic, settings.dead_letter_topic)
    if small := [report for report in reports if report.too_small and report.name in own]:
        raise SettingsError(f"topic {small[0].name}: {small[0].differences[-1]}; {small[0].remedies[-1]}")
    for report in reports:
        if report.state is TopicState.DIFFERS:
            log.warning("topic differs", topic=report.name, differences=report.differences, remedies=report.remedies)


def _health(settings: Settings, built: BuiltWorker, watch: DeviceWatch) -> HealthServer:
    clock, live_within_s = SystemClock(), settings.broker_patience_s + LIVE_BEYOND_PATIENCE_S

    def live() -> dict[str, bool]:
        looped_at = built.worker.last_step_at  # None while the worker loads models or waits for the broker
        looping = looped_at is None or clock.monotonic() - looped_at < live_within_s
        return {
            "looping": looping,
            "following_releases": built.refresher.alive(),
            "device_answers": not watch.hangs(),
        }

    def ready() -> dict[str, bool]:
        return {
            "assigned": built.worker.assigned_partitions > 0,
            "model_resident": len(built.residents) > 0,
            "broker_reachable": built.source.reachable(),
        }

    return HealthServer(settings.health_host, settings.health_port, live=live, ready=ready)
