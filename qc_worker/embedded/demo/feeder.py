"""Sends shots to `images` at a steady rate, and slower while the worker is behind or a retrain runs."""

import math
import threading
from collections.abc import Iterator
from time import monotonic
from uuid import uuid4

from qc_worker.domain.errors import QcError, SettingsError
from qc_worker.embedded.cameras import Schedule, Shot
from qc_worker.embedded.demo.tally import SentFrame, Tally
from qc_worker.ports.clock import Clock
from qc_worker.ports.frames import FrameOutbox
from qc_worker.wire.images import encode_frame

CHECK_EVERY_FRAMES = 5
MOST_BEHIND_S = 4.0
"""The worker counts as behind if it would take longer than this to catch up at the present rate."""
SLOWEST_HZ = 0.5
STAYING_HZ = 2.0
STAYING_MAX_BYTES = 256 << 20
"""The embedded broker keeps every frame in memory."""


class Feeder:
    """A thread that sends `frames` shots; the last `reserve` of them wait until `release_reserve` is called."""

    def __init__(
        self, shots: Iterator[Shot], producer: FrameOutbox, tally: Tally, *, clock: Clock, rate_hz: float
    ) -> None:
        self._shots = shots
        self._producer = producer
        self._tally = tally
        self._clock = clock
        self._wanted_hz = rate_hz
        self._stop = threading.Event()
        self._free = threading.Event()
        self._run_id = uuid4().hex[:8]
        self._schedule = Schedule(rate_hz, monotonic=monotonic, wait=self._stop.wait)
        self._thread: threading.Thread | None = None
        self._failure: QcError | None = None
        self.sent = 0
        self.holding = False
        self.staying = False
        self._full_hz = rate_hz
        self._at_full_rate: list[float] = []

    @property
    def rate_hz(self) -> float:
        return self._schedule.rate_hz

    @property
    def wanted_hz(self) -> float:
        return self._wanted_hz

    def frames_per_s(self) -> float:
        """Compute the frames sent per second while only the worker's pace limited the rate; NaN before the first."""
        return len(self._at_full_rate) / sum(self._at_full_rate) if self._at_full_rate else math.nan

    def start(self, frames: int, *, reserve: int, stay: bool = False) -> None:
        """Start sending; with `stay`, go on slowly after the last frame until `stop`."""
        self._thread = threading.Thread(target=self._run, args=(frames, reserve, stay), name="cameras", daemon=True)
        self._thread.start()

    def ask_rate(self, rate_hz: float) -> None:
        """Send at this rate from now on, as far as the worker keeps up."""
        self._wanted_hz = max(rate_hz, SLOWEST_HZ)
        self._schedule.change_rate(self._wanted_hz)

    def release_reserve(self) -> None:
        """Allow the reserved last frames to be sent."""
        self._free.set()

    def finished(self) -> bool:
        """Return True once all frames are sent. Raises the QcError that ended the sending."""
        if self._failure is not None:
            raise self._failure
        return self._thread is not None and not self._thread.is_alive()

    def stop(self) -> None:
        """Stop sending and wait for the thread; frames already sent still arrive."""
        self._stop.set()
        self._free.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self, frames: int, reserve: int, stay: bool) -> None:
        try:
            self._send_all(frames, reserve)
            if stay:
                self._stay()
            self._producer.flush()
        except QcError as error:
            # Raised again where the demo waits for this thread.
            self._failure = error
        except OSError as error:
            self._failure = SettingsError(f"a frame cannot be read: {error}")

    def _send_all(self, frames: int, reserve: int) -> None:
        for number in range(frames):
            if number == frames - reserve:
                self._hold()
            started_s = monotonic()
            full_rate = self._wanted_hz >= self._full_hz
            shot = next(self._shots)
            self._schedule.wait_turn()
            if self._stop.is_set():
                return
            self._send(shot)
            if full_rate:
                self._at_full_rate.append(monotonic() - started_s)
            if number % CHECK_EVERY_FRAMES == 0:
                self._suit_the_worker()

    def _stay(self) -> None:
        self.staying = not self._stop.is_set()
        self.ask_rate(STAYING_HZ)
        sent_bytes = 0
        while sent_bytes < STAYING_MAX_BYTES:
            shot = next(self._shots)
            self._schedule.wait_turn()
            if self._stop.is_set():
                return
            self._send(shot)
            sent_bytes += len(shot.content)
            self._suit_the_worker()

    def _hold(self) -> None:
        self.holding = not self._free.is_set()
        self._free.wait()
        self.holding = False

    def _send(self, shot: Shot) -> None:
        frame_id = f"{self._run_id}-{shot.line}-{self.sent:06d}"
        self._tally.record_sent(SentFrame(frame_id, shot.line, shot.defect))
        message = encode_frame(
            shot.content,
            line=shot.line,
            camera=shot.camera,
            captured_at=self._clock.now(),
            frame_id=frame_id,
            part=shot.part,
        )
        self._producer.send(message)
        self.sent += 1

    def _suit_the_worker(self) -> None:
        behind_s = self._tally.missing / self._schedule.rate_hz
        if behind_s > MOST_BEHIND_S:
            self._schedule.change_rate(max(self._schedule.rate_hz * 0.8, SLOWEST_HZ))
        elif behind_s < MOST_BEHIND_S / 4 and self._schedule.rate_hz < self._wanted_hz:
            self._schedule.change_rate(min(self._schedule.rate_hz * 1.15, self._wanted_hz))
