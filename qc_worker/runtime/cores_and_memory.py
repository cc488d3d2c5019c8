"""Tune the process's use of cores and memory, before torch is imported.

Speeds below are frames per second of efficientnet_lite0 on 2 cores, with two compute threads and batches of 8;
benchmarks/RESULTS.md has more.
"""

import atexit
import ctypes
import gc
import os
import sys
from typing import Any

SPIN_COUNT = "1000"
"""Rounds that a waiting compute thread spins. Threads that spin for long take the cores from those that they wait for:
two processes at once got 12 to 37 each by default, 43 to 58 with this; one alone, 107 to 131 and 90 to 101."""
KEPT_BYTES = 1 << 30
"""Freed memory that the process keeps. glibc returns each large tensor to the kernel, and the next pass faults its
pages in again: 42 to 64 by default, 96 to 107 with this, at the same peak of memory."""
ARENAS = 2
"""Arenas that keep memory. glibc gives nearly every thread one: with frames of 16 MB among others, a worker grew to
1450 MB in 6 minutes by default, to 1100 MB with two, at the same speed."""

M_TRIM_THRESHOLD = -1
M_TOP_PAD = -2
M_MMAP_THRESHOLD = -3
M_ARENA_MAX = -8


def tune_process() -> None:
    """Spin briefly and keep freed memory, unless OpenMP's or malloc's own environment variables are set."""
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPIN_COUNT)
    if sys.platform == "linux" and not any(name.startswith("MALLOC_") for name in os.environ):
        _keep_freed_memory()


def freeze_long_lived() -> None:
    """Exclude all present objects from garbage collection; call it when everything is loaded.

    Python collects old objects only once a quarter of them are new, and imports make 458,000 objects: until then cycles
    of kafka-python kept brokers' answers, of up to 17 MiB each, for minutes. A collection of the rest takes 1 ms
    instead of 166.
    """
    gc.collect()
    gc.freeze()
    # At its end Python frees cycles of modules by collecting them. Without that, nanobind (in triton, which torch's
    # compiler imports) would report the objects that these modules keep alive as leaked, line by line.
    atexit.register(gc.unfreeze)


def give_back_freed_memory() -> None:
    """Return all freed pages to the kernel: between stages that need different memory, and regularly in a worker.

    Takes 8 to 27 ms in a worker of 1.4 GB, of which 0.8 GB remain.
    """
    if trim := _of_glibc("malloc_trim"):
        trim(0)


def heap_in_use_bytes() -> int | None:
    """Return the bytes allocated and not freed; resident memory may be much more. None without glibc 2.33 or later."""
    mallinfo2 = _of_glibc("mallinfo2")
    if mallinfo2 is None:
        return None
    mallinfo2.restype = _MallInfo
    found = mallinfo2()
    return int(found.uordblks + found.hblkhd)


class _MallInfo(ctypes.Structure):
    """glibc's struct mallinfo2."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            "arena",
            "ordblks",
            "smblks",
            "hblks",
            "hblkhd",
            "usmblks",
            "fsmblks",
            "uordblks",
            "fordblks",
            "keepcost",
        )
    )


def _keep_freed_memory() -> None:
    if mallopt := _of_glibc("mallopt"):
        mallopt(M_MMAP_THRESHOLD, KEPT_BYTES)
        mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)
        mallopt(M_TOP_PAD, KEPT_BYTES // 16)
        mallopt(M_ARENA_MAX, ARENAS)


def _of_glibc(name: str) -> Any:
    """Return glibc's function of that name; None with another C library or a version without it."""
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None
