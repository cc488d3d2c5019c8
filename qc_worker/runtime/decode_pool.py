"""Open pools of decode threads that compute with one thread each."""

import threading
from concurrent.futures import ThreadPoolExecutor

import torch

_opening = threading.Lock()


def decode_pool(threads: int, *, name: str = "decode") -> ThreadPoolExecutor:
    """Open a pool and start all of its threads.

    By default each of them would start as many OpenMP threads as there are cores, to resize one picture: 14 decode
    threads on 16 cores would start 210 more, which wait for each other.
    """
    with _opening:
        # A thread that calls set_num_threads also sets the number for all threads that have not used torch yet, such as
        # the one that computes the model's batches. So start all threads of the pool now, then set that number back.
        for_others = torch.get_num_threads()
        pool = ThreadPoolExecutor(threads, thread_name_prefix=name, initializer=_compute_alone)
        try:
            _start_all(pool, threads)
        finally:
            torch.set_num_threads(for_others)
    return pool


def _compute_alone() -> None:
    torch.get_num_threads()  # a thread's first use of torch takes over the number set last, by whatever thread
    torch.set_num_threads(1)


def _start_all(pool: ThreadPoolExecutor, threads: int) -> None:
    """Start every thread of the pool: as long as none is free, a task starts a new one."""
    all_started = threading.Barrier(threads + 1)
    try:
        for _ in range(threads):
            pool.submit(all_started.wait)
    except RuntimeError:  # the system allows no more threads
        all_started.abort()
        raise
    all_started.wait()
