"""Keep a worker under full load without filling the disk, and count its inspections."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from threading import Event, Thread
from typing import Any

from kafka import KafkaAdminClient, TopicPartition

from benchmarks.harness.load import CAMERAS
from benchmarks.harness.plant import LINES, Plant
from benchmarks.harness.soak_frames import FrameMix
from qc_worker.domain.frame import Position
from qc_worker.transport.kafka.connecting.access import Connections, open_client
from qc_worker.transport.kafka.frame_outbox import KafkaFrameOutbox
from qc_worker.wire.images import encode_frame

BACKLOG_FRAMES = 400
"""Most frames sent but not judged yet: more than a worker may have in flight, and some seconds of work."""
FULL_BACKLOG_WAIT_S = 0.02


@dataclass(slots=True)
class Seen:
    """Record of judged frames, one byte each, so that its size is bounded by the number of frames sent."""

    frames: int = 0
    doubles: int = 0
    _marks: dict[int, bytearray] = field(default_factory=dict)
    _prefixes: dict[int, int] = field(default_factory=dict)

    def add(self, source: Position) -> None:
        marks = self._marks.setdefault(source.partition, bytearray())
        marks.extend(bytes(max(0, source.offset + 1 - len(marks))))
        if marks[source.offset]:
            self.doubles += 1
            return
        marks[source.offset] = 1
        self.frames += 1

    def prefixes(self) -> Mapping[int, int]:
        """Return the first offset of each partition that has not been judged; offsets of a new topic start at 0."""
        for partition, marks in self._marks.items():
            first_open = marks.find(0, self._prefixes.get(partition, 0))
            self._prefixes[partition] = len(marks) if first_open < 0 else first_open
        return dict(self._prefixes)


class Sender:
    """Sends frames from its own thread, at most BACKLOG_FRAMES ahead of `judged`."""

    def __init__(self, plant: Plant, mix: FrameMix, judged: Callable[[], int]) -> None:
        self._plant = plant
        self._mix = mix
        self._judged = judged
        self._stop = Event()
        self._thread = Thread(target=self._run, name="sender", daemon=True)
        self.acknowledged = False
        """True once the broker has acknowledged every frame; set at the end."""
        self.sent = 0
        self.big = 0
        self.bad = 0

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Stop sending, and wait until the broker has acknowledged every frame."""
        self._stop.set()
        self._thread.join()
        if not self.acknowledged:
            raise SystemExit("error: the broker did not acknowledge every frame")

    def alive(self) -> bool:
        return self._thread.is_alive()

    def backlog_frames(self) -> int:
        return self.sent - self._judged()

    def _run(self) -> None:
        with KafkaFrameOutbox(self._plant.access, topic=self._plant.topic("images")) as camera:
            for number in count():
                while self.backlog_frames() >= BACKLOG_FRAMES and not self._stop.wait(FULL_BACKLOG_WAIT_S):
                    pass
                if self._stop.is_set():
                    break
                self._send(camera, number)
            camera.flush()
        self.acknowledged = True

    def _send(self, camera: KafkaFrameOutbox, number: int) -> None:
        name = {"line": LINES[number % len(LINES)], "camera": f"c{number % CAMERAS}"}
        camera.send(encode_frame(self._mix.content(number), captured_at=datetime.now(UTC), **name))
        self.sent += 1
        self.big += self._mix.is_big(number)
        self.bad += self._mix.is_bad(number)


class JudgedFrames:
    """Lets the broker delete judged frames.

    The broker frees the disk at its next retention check (`log.retention.check.interval.ms`), in whole segments.
    """

    def __init__(self, plant: Plant) -> None:
        self._topic = plant.topic("images")
        self._connections = Connections()
        self._admin: Any = open_client(KafkaAdminClient, plant.access, self._connections)

    def remove(self, prefixes: Mapping[int, int]) -> None:
        self._admin.delete_records(
            {TopicPartition(self._topic, partition): offset for partition, offset in prefixes.items() if offset}
        )

    def close(self) -> None:
        self._admin.close()
        self._connections.close()
