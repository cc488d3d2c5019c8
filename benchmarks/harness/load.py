"""Send frames to a worker, and measure its speed from its inspections."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from time import monotonic, sleep

from benchmarks.harness.plant import LINES, Plant
from qc_worker.embedded.simulation.parts_line import Simulation
from qc_worker.ports.results import PublishedInspection
from qc_worker.transport.kafka.frame_outbox import KafkaFrameOutbox
from qc_worker.transport.kafka.inspection_feed import KafkaInspectionFeed
from qc_worker.wire.images import encode_frame

CAMERAS = 6
RUN_UP_SHARE = 0.2
"""Share of the frames under full load that is not counted, since the worker was stopped before."""
SILENCE_S = 60


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Percentiles in milliseconds."""

    p50: float
    p95: float
    p99: float


@dataclass(frozen=True, slots=True)
class Judged:
    """Figures from the inspections of one load."""

    fps: float
    inference_ms: float
    """Mean time of a frame's batch in the model."""
    inference_ms_median: float
    decode_ms: float
    heatmap_share: float
    in_worker_ms: Percentiles
    """Time from polling the record to handing over its inspection, as the worker reports it."""
    camera_to_result_ms: Percentiles
    """Time from giving the frame to the camera's producer to the broker timestamp of its inspection."""


@cache
def simulated_frames() -> Sequence[bytes]:
    return [Simulation(line, seed=9).frame(index).content for index in range(100) for line in LINES]


def send_all(plant: Plant, topic: str, contents: Sequence[bytes], count: int) -> None:
    """Send frames as fast as the broker accepts them."""
    _send(plant, topic, contents, count, wait=lambda _: None)


def send_evenly(plant: Plant, topic: str, contents: Sequence[bytes], count: int, *, fps: float) -> None:
    started = monotonic()
    _send(plant, topic, contents, count, wait=lambda number: sleep(max(0.0, started + number / fps - monotonic())))


class Load:
    """Reads the inspections of frames sent after its creation."""

    def __init__(self, plant: Plant) -> None:
        self._reader = KafkaInspectionFeed(plant.access, topic=plant.topic("results"), from_beginning=False)
        self._reader.start()

    def wait_for(self, count: int) -> Judged:
        published: list[PublishedInspection] = []
        deadline = monotonic() + SILENCE_S
        while len(published) < count:
            came = self._reader.poll(timeout_s=0.5)
            deadline = monotonic() + SILENCE_S if came else deadline
            if monotonic() > deadline:
                raise SystemExit(f"timed out: {len(published)} of {count} inspections, then none for {SILENCE_S} s")
            published += came
        self._reader.close()
        return _judged(published)


def _send(plant: Plant, topic: str, contents: Sequence[bytes], count: int, *, wait: Callable[[int], None]) -> None:
    with KafkaFrameOutbox(plant.access, topic=topic) as camera:
        for number in range(count):
            wait(number)
            line, content = LINES[number % len(LINES)], contents[number % len(contents)]
            camera.send(encode_frame(content, line=line, camera=f"c{number % CAMERAS}", captured_at=datetime.now(UTC)))
        camera.flush()


def _judged(published: Sequence[PublishedInspection]) -> Judged:
    inspections = [one.inspection for one in published]
    stages = [inspection.stage_ms for inspection in inspections]
    times = sorted(inspection.scored_at.timestamp() for inspection in inspections)
    first = int(RUN_UP_SHARE * len(times))
    taken = [
        1000 * (one.appended_at - captured_at).total_seconds()
        for one in published
        if (captured_at := one.inspection.captured_at)
    ]
    return Judged(
        fps=(len(times) - 1 - first) / (times[-1] - times[first]),
        inference_ms=statistics.mean(stage.inference for stage in stages),
        inference_ms_median=statistics.median(stage.inference for stage in stages),
        decode_ms=statistics.mean(stage.decode for stage in stages),
        heatmap_share=statistics.mean(inspection.heatmap_key is not None for inspection in inspections),
        in_worker_ms=_percentiles([stage.total for stage in stages]),
        camera_to_result_ms=_percentiles(taken),
    )


def _percentiles(milliseconds: Sequence[float]) -> Percentiles:
    of_hundred = statistics.quantiles(milliseconds, n=100, method="inclusive")
    return Percentiles(*(round(of_hundred[percent - 1], 1) for percent in (50, 95, 99)))
