"""Map over many files in threads, with bounded memory."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from typing import TypeVar

from qc_worker.runtime.decode_pool import decode_pool

In = TypeVar("In")
Out = TypeVar("Out")

AHEAD_PER_THREAD = 4


def map_in_order(function: Callable[[In], Out], items: Iterable[In], *, threads: int) -> Iterator[Out]:
    """Map in threads, results in order; only a few items ahead are read, the rest is dropped if the caller stops."""
    # Executor.map takes all items at once: with thousands of images it would hold every one of them.
    pool = decode_pool(threads)
    waiting: deque[Future[Out]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > threads * AHEAD_PER_THREAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
