"""Times work that a GPU does after the call has returned."""

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter, thread_time

import torch


@dataclass(frozen=True, slots=True)
class Timed:
    """Mean times of one call, milliseconds."""

    wall_ms: float
    """Until the device has finished, in a row of calls."""
    queued_ms: float
    """Until the call returned."""
    cpu_ms: float
    """CPU time of the calling thread."""

    def of_frames(self, frames: int) -> dict[str, float]:
        """Describe a call that takes so many frames."""
        return {
            "fps": round(1000 * frames / self.wall_ms),
            "wall_ms": round(self.wall_ms, 2),
            "queued_ms": round(self.queued_ms, 2),
            "cpu_ms": round(self.cpu_ms, 2),
        }


def timed(call: Callable[[], object], calls: int) -> Timed:
    """Time `calls` calls in a row, after one that is not counted."""
    call()
    torch.cuda.synchronize()
    started, cpu_started = perf_counter(), thread_time()
    for _ in range(calls):
        call()
    queued, cpu = perf_counter() - started, thread_time() - cpu_started
    torch.cuda.synchronize()
    return Timed(*(1000 * seconds / calls for seconds in (perf_counter() - started, queued, cpu)))


def once_ms(call: Callable[[], object]) -> float:
    """Time one call until the device has finished, milliseconds."""
    torch.cuda.synchronize()
    started = perf_counter()
    call()
    torch.cuda.synchronize()
    return round(1000 * (perf_counter() - started), 1)
