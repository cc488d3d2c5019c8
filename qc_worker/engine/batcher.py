"""Batch frames dynamically: full batches at once, others while the device has too little to do.

While it has enough, they close after a maximum wait or when a deadline comes near.
"""

import math
import threading
from collections import deque
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from qc_worker.ports.clock import Clock
from qc_worker.simplenet.spec import BackbonePass


class Batchable(Protocol):
    """A frame as the batcher sees it."""

    @property
    def backbone_pass(self) -> BackbonePass:
        """Frames with equal ones can be in one batch."""
        ...

    @property
    def due_at(self) -> float | None:
        """Deadline of its verdict, by the monotonic clock; None: no deadline."""
        ...

    def skip_if_void(self) -> bool:
        """Return True if its verdict is not needed any more; the caller must then drop the frame."""
        ...


BATCHES_UNDER_WAY = 2
"""Batches that keep a device busy: one that it computes and the next one, which then starts without a gap. With fewer
under way, frames that wait for others only leave it idle."""
NEWS_SHARE = 0.2
"""Weight of the newest batch in the moving average of batch times."""

F = TypeVar("F", bound=Batchable)


@dataclass(frozen=True, slots=True)
class _Waiting(Generic[F]):
    frame: F
    since: float


class Batcher(Generic[F]):
    """Group frames by backbone pass, not by line.

    A tiled frame counts as many times towards `max_size` as it has tiles, so batches of one size take equal memory and
    time.
    """

    def __init__(self, *, max_size: int, max_wait_s: float) -> None:
        self._max_size = max_size
        self._max_wait_s = max_wait_s
        self._queues: dict[BackbonePass, deque[_Waiting[F]]] = {}
        self._batch_s: dict[BackbonePass, float] = {}

    def __len__(self) -> int:
        return sum(map(len, self._queues.values()))

    def add(self, frame: F, now: float) -> None:
        self._queues.setdefault(frame.backbone_pass, deque()).append(_Waiting(frame, now))

    def took(self, backbone_pass: BackbonePass, seconds: float) -> None:
        """Record the time of a batch from its start to its verdicts; deadlines leave that much time."""
        known = self._batch_s.get(backbone_pass, seconds)
        self._batch_s[backbone_pass] = known + NEWS_SHARE * (seconds - known)

    def take(self, now: float, *, idle: bool = False) -> list[F]:
        """Return the due batch whose oldest frame has waited longest; empty if none is due or all of it is void.

        If the device is `idle` and no batch is due, return the one whose oldest frame has waited longest.
        """
        waiting = [queue for queue in self._queues.values() if queue]
        due = [queue for queue in waiting if self._wait_s(queue, now) <= 0] or (waiting if idle else [])
        if not due:
            return []
        queue = min(due, key=lambda queue: queue[0].since)
        return self._pop(queue)

    def seconds_until_due(self, now: float) -> float | None:
        """Return the time until `take` returns a batch; None while no frame waits."""
        waits = [self._wait_s(queue, now) for queue in self._queues.values() if queue]
        return min(waits, default=None)

    def _pop(self, queue: deque[_Waiting[F]]) -> list[F]:
        batch: list[F] = []
        max_frames = self._max_frames(queue)
        while queue and len(batch) < max_frames:
            frame = queue.popleft().frame
            if not frame.skip_if_void():
                batch.append(frame)
        return batch

    def _wait_s(self, queue: deque[_Waiting[F]], now: float) -> float:
        if len(queue) >= self._max_frames(queue):
            return 0.0
        return max(0.0, min(queue[0].since + self._max_wait_s, self._latest_start(queue)) - now)

    def _max_frames(self, queue: deque[_Waiting[F]]) -> int:
        return queue[0].frame.backbone_pass.frames_within(self._max_size)

    def _latest_start(self, queue: deque[_Waiting[F]]) -> float:
        """Return the last moment to start the batch without missing a deadline in it, by the recent batch times."""
        due_at = min((one.frame.due_at for one in queue if one.frame.due_at is not None), default=math.inf)
        return due_at - self._batch_s.get(queue[0].frame.backbone_pass, 0.0)


class BatchQueue(Generic[F]):
    """Share a batcher between threads: decode threads add, the inference thread takes, the judging thread finishes."""

    def __init__(self, batcher: Batcher[F], clock: Clock) -> None:
        self._batcher = batcher
        self._clock = clock
        self._changed = threading.Condition()
        self._under_way = 0
        self._closed = False

    def add(self, frame: F) -> None:
        with self._changed:
            self._batcher.add(frame, self._clock.monotonic())
            self._changed.notify()

    def took(self, backbone_pass: BackbonePass, seconds: float) -> None:
        """See `Batcher.took`."""
        with self._changed:
            self._batcher.took(backbone_pass, seconds)

    def take(self) -> list[F]:
        """Wait for the next batch and return it; empty once closed. It is under way until `finish` is called.

        With fewer than BATCHES_UNDER_WAY the next batch is whatever waits.
        """
        with self._changed:
            while not self._closed:
                idle = self._under_way < BATCHES_UNDER_WAY
                if batch := self._batcher.take(self._clock.monotonic(), idle=idle):
                    self._under_way += 1
                    return batch
                if not (idle and len(self._batcher)):  # else all of the batch was void, and others wait behind it
                    self._changed.wait(self._batcher.seconds_until_due(self._clock.monotonic()))
            return []

    def finish(self) -> None:
        """Count one of the batches taken as no longer under way: its verdicts are made, or it has failed."""
        with self._changed:
            self._under_way -= 1
            self._changed.notify()

    def close(self) -> None:
        """End the wait in `take`; frames that still wait are dropped."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
