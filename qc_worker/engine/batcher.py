"""Dynamic batching: full batches at once, others when their oldest frame has waited long enough or a deadline nears."""

import math
import threading
from collections import deque
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from qc_worker.ports.clock import Clock
from qc_worker.simplenet.spec import BackbonePass


class Batchable(Protocol):
    """What the batcher needs to know of a frame."""

    @property
    def backbone_pass(self) -> BackbonePass:
        """What decides which frames can share a backbone pass."""
        ...

    @property
    def due_at(self) -> float | None:
        """When its verdict is wanted, by the monotonic clock; None: no matter."""
        ...

    def skip_if_void(self) -> bool:
        """Whether nobody wants its verdict any more; whoever is told so forgets the frame."""
        ...


NEWS_SHARE = 0.2
"""Of the newest batch in how long a batch is taken to last."""

F = TypeVar("F", bound=Batchable)


@dataclass(frozen=True, slots=True)
class _Waiting(Generic[F]):
    frame: F
    since: float


class Batcher(Generic[F]):
    """Groups frames by what can share a backbone pass, not by line.

    A frame counts as its tiles towards `max_size`, so a batch takes the memory and time that its size says.
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
        """A batch took so long from its start to its verdicts: what a deadline must leave time for."""
        known = self._batch_s.get(backbone_pass, seconds)
        self._batch_s[backbone_pass] = known + NEWS_SHARE * (seconds - known)

    def take(self, now: float) -> list[F]:
        """The due batch whose oldest frame waits longest; empty if none is due, or none of it is wanted any more."""
        due = [queue for queue in self._queues.values() if self._is_due(queue, now)]
        if not due:
            return []
        queue = min(due, key=lambda queue: queue[0].since)
        return self._pop(queue)

    def seconds_until_due(self, now: float) -> float | None:
        """How long until `take` has something; None while nothing waits."""
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

    def _is_due(self, queue: deque[_Waiting[F]], now: float) -> bool:
        return bool(queue) and self._wait_s(queue, now) <= 0

    def _wait_s(self, queue: deque[_Waiting[F]], now: float) -> float:
        if len(queue) >= self._max_frames(queue):
            return 0.0
        return max(0.0, min(queue[0].since + self._max_wait_s, self._latest_start(queue)) - now)

    def _max_frames(self, queue: deque[_Waiting[F]]) -> int:
        return queue[0].frame.backbone_pass.frames_within(self._max_size)

    def _latest_start(self, queue: deque[_Waiting[F]]) -> float:
        """When the batch must be closed so that no deadline in it passes, by how long batches took lately."""
        due_at = min((one.frame.due_at for one in queue if one.frame.due_at is not None), default=math.inf)
        return due_at - self._batch_s.get(queue[0].frame.backbone_pass, 0.0)


class BatchQueue(Generic[F]):
    """A batcher between threads: decode threads add, the inference thread takes."""

    def __init__(self, batcher: Batcher[F], clock: Clock) -> None:
        self._batcher = batcher
        self._clock = clock
        self._changed = threading.Condition()
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
        """Wait for the next due batch; empty once closed."""
        with self._changed:
            while not self._closed:
                if batch := self._batcher.take(self._clock.monotonic()):
                    return batch
                self._changed.wait(self._batcher.seconds_until_due(self._clock.monotonic()))
            return []

    def close(self) -> None:
        """Let the taker go; frames that still wait are left behind."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
