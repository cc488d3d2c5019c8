"""Cameras of two lines that go on taking pictures whatever becomes of the brokers, and keep what cannot be sent yet."""

from collections.abc import Callable
from functools import cache
from threading import Event, Thread
from time import monotonic

from qc_worker.ports.frames import FrameReceipt
from qc_worker.transport.kafka.connecting.access import KafkaAccess
from qc_worker.transport.kafka.frame_outbox import KafkaFrameOutbox
from qc_worker.wire.images import encode_frame
from tests.conftest import eventually
from tests.support import factories

BURST = 60
EVERY_S = 0.4
"""150 frames a second, in bursts: so that a fault falls among frames that come, wait and leave."""
MANY_WAITING = 1_500
BURST_THEN = 10
"""What waits must be judged as well, and how fast that goes is not what is tested."""
OUTAGE_S = 240.0
"""How long cameras keep frames for brokers that are away."""
PICTURES = 64
POISON = "poisonous"
"""The id of frames that workers may be told to die of."""


class Cameras:
    """One thread that sends until `stop`; `sent` counts what was handed over, acknowledged or not yet."""

    def __init__(self, access: KafkaAccess, *, topic: str, judged: Callable[[], int]) -> None:
        self._producer = KafkaFrameOutbox(access, topic=topic, delivery_timeout_s=OUTAGE_S)
        self._sending: list[FrameReceipt] = []
        self._stopping = Event()
        self._poison_due = Event()
        self._thread = Thread(target=self._run, name="cameras", daemon=True)
        self._judged = judged
        self.longest_pause_s = 0.0
        """Between two bursts; cameras that had to wait for a broker would not be there across its fault."""

    @property
    def sent(self) -> int:
        return len(self._sending)

    def start(self) -> None:
        self._thread.start()

    def flowing(self) -> bool:
        return self._thread.is_alive() and not self._stopping.is_set()

    def wait_for(self, frames: int) -> None:
        """Let them send so many in all."""
        eventually(lambda: self.sent >= frames or self._stopping.wait(0.1), timeout_s=120)

    def stop(self) -> None:
        """Send no more, and wait until all lies on the broker."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join(60)
        for frame in self._sending:
            frame.position(timeout_s=OUTAGE_S)  # raises if the broker did not take it

    def push(self, count: int, *, lines: str = "AB", cameras: int = 2) -> None:
        """Send so many now, round robin; to be called while the thread is not running."""
        for number in range(self.sent, self.sent + count):
            camera = f"cam{number // len(lines) % cameras}"
            self._send(f"frame-{number}", line=lines[number % len(lines)], camera=camera)

    def push_poison(self) -> None:
        """Send such a frame now, of camera 0 of line A; to be called while the thread is not running."""
        self._send(POISON, line="A", camera="cam0")

    def slip_in_poison(self) -> None:
        """Let such a frame come with the next burst."""
        self._poison_due.set()

    def close(self) -> None:
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join(60)
        self._producer.close()

    def _run(self) -> None:
        sent_at_s = monotonic()
        while not self._stopping.wait(EVERY_S):
            self.push(BURST if self.sent - self._judged() < MANY_WAITING else BURST_THEN)
            self.longest_pause_s = max(self.longest_pause_s, monotonic() - sent_at_s)
            sent_at_s = monotonic()
            if self._poison_due.is_set():
                self._poison_due.clear()
                self.push_poison()

    def _send(self, frame_id: str, *, line: str, camera: str) -> None:
        message = encode_frame(
            picture(self.sent), line=line, camera=camera, captured_at=factories.NOON, frame_id=frame_id
        )
        self._sending.append(self._producer.send(message))


def picture(number: int) -> bytes:
    """Return what cameras send as their frame of that number."""
    return _picture(number % PICTURES)


@cache
def _picture(seed: int) -> bytes:
    return factories.jpeg(seed)
