"""Publish inspections of many lines to a real broker at a steady rate, and remember when each went out."""

from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from random import Random
from threading import Event, Thread
from time import monotonic, time

from benchmarks.harness.dashboard_pictures import defective_part, heat
from qc_worker.domain.frame import Position
from qc_worker.domain.inspection import Defect, Inspection, StageTimings, Verdict
from qc_worker.ports.results import HeatmapCache, HeatmapEntry
from qc_worker.transport.kafka.connecting.access import KafkaAccess
from qc_worker.transport.kafka.producer import close_producer, open_producer
from qc_worker.wire.json_types import encode_inspection

VERDICTS = (Verdict.PASS, Verdict.REJECT, Verdict.REVIEW, Verdict.ERROR)
SHARES = (0.975, 0.01, 0.01, 0.005)
THRESHOLD = 2.5
TICK_S = 0.02
CLOSE_TIMEOUT_S = 30
SYNTHETIC_PARTITION = 10_000
"""Frames of these inspections lie nowhere: as long after a shift, pictures come from the cache."""


@dataclass
class Sent:
    """Wall-clock times at which inspections were handed to the producer."""

    by_partition: dict[int, list[float]] = field(default_factory=dict)
    """In the order of offsets, from 0 on."""
    by_line: dict[str, list[float]] = field(default_factory=dict)
    began_at: float = 0.0
    """Time from which on the load is steady: what was sent before, for the cards to be there, is not timed."""
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By line and verdict."""

    @property
    def total(self) -> int:
        return sum(self.counts.values())


class Publisher:
    """A thread that publishes inspections of all lines in turn."""

    def __init__(
        self, access: KafkaAccess, *, topic: str, partitions: int, lines: int, per_s: int, cache: HeatmapCache
    ) -> None:
        self.lines = [f"line-{number + 1:02}" for number in range(lines)]
        self.sent = Sent()
        self.behind_s = 0.0
        """Most that it was behind its schedule: then the machine was too slow for the load itself."""
        self._topic = topic
        self._partitions = partitions
        self._per_s = per_s
        self._cache = cache
        self._pictures = defective_part(), heat()
        self._producer = open_producer(access)
        self._dice = Random(1)
        self._stop = Event()
        self._thread = Thread(target=self._run, name="publisher", daemon=True)

    def one_of_each(self) -> None:
        """Publish the first inspection of each line, so that the pages have a card for each."""
        for number in range(len(self.lines)):
            self._publish(number)
        self._producer.flush()

    def start(self) -> None:
        self.sent.began_at = time()
        self._thread.start()

    def stop(self) -> None:
        """Stop, and wait until the broker has everything."""
        self._stop.set()
        self._thread.join()
        close_producer(self._producer, timeout_s=CLOSE_TIMEOUT_S)

    def _run(self) -> None:
        began_s, first = monotonic(), self.sent.total
        number = first
        while not self._stop.wait(TICK_S):
            due = first + int((monotonic() - began_s) * self._per_s)
            self.behind_s = max(self.behind_s, (due - number) / self._per_s)
            for number in range(number, due):  # noqa: B020
                self._publish(number)
            number = due

    def _publish(self, number: int) -> None:
        line = self.lines[number % len(self.lines)]
        partition = number % len(self.lines) % self._partitions
        inspection = self._inspection(number, line)
        content = encode_inspection(inspection)
        at = time()
        self._producer.send(self._topic, value=content, key=f"{line}/front".encode(), partition=partition)
        self.sent.by_partition.setdefault(partition, []).append(at)
        self.sent.by_line.setdefault(line, []).append(at)
        self.sent.counts[line, str(inspection.verdict)] += 1

    def _inspection(self, number: int, line: str) -> Inspection:
        (verdict,) = self._dice.choices(VERDICTS, SHARES)
        now = datetime.now(UTC)
        judged = Inspection(
            frame_id=f"{line}-{number:09}",
            line=line,
            camera="front",
            captured_at=now - timedelta(milliseconds=60),
            scored_at=now,
            source=Position("images", SYNTHETIC_PARTITION, number),
            verdict=verdict,
            model_version="v00001",
            precision="bfloat16",
            score=self._dice.gauss(4.0 if verdict is Verdict.REJECT else 1.0, 0.3),
            p_value=0.5,
            threshold=THRESHOLD,
            image_size=(240, 320),
            stage_ms=StageTimings(2.125, 3.5, 12.75, 0.5, 19.0),
        )
        return self._with_pictures(judged) if verdict is Verdict.REJECT else judged

    def _with_pictures(self, judged: Inspection) -> Inspection:
        key = f"heatmap:{judged.source}"
        thumbnail, heatmap = self._pictures
        self._cache.put([HeatmapEntry(key, heatmap, thumbnail)])
        return replace(judged, heatmap_key=key, defects=(Defect(200, 90, 50, 40, 1500, 4.5),))
