"""How this process treats cores and memory; to be called before torch is imported.

Measured on 2 cores, efficientnet_lite0, two compute threads, frames per second of the backbone at a batch of 8
(benchmarks/RESULTS.md has the rest, and what it costs):

- Threads that spin for long while they wait take the cores from those they wait for as soon as anything else runs: two
  processes at once got 12 to 37 each by default, 43 to 58 with a short spin; alone, 107 to 131 against 90 to 101.
- Batches have tensors of many megabytes. glibc returns each to the kernel and faults its pages in anew for the next
  pass: 42 to 64 by default, 96 to 107 when freed memory is kept. The peak is the same.
- Memory is kept by arenas, and glibc gives nearly every thread one: with frames of 16 MB among others, a worker
  grew to 1450 MB in 6 minutes; with two arenas to 1100, at the same speed (167 to 176 and 167 to 190).
- What is kept only grows: `give_back_freed_memory` lets go of it, between two stages that need different memory and in
  a worker now and then. It takes 8 to 27 ms in a worker of 1.4 GB, of which 0.8 remain; pages needed again are faulted
  in anew.
- Python looks for garbage among its old objects once a quarter of them are new, and imports make 458,000: cycles of
  kafka-python's that hold a broker's answers, of up to 17 MiB each, stayed for minutes. `freeze_long_lived` sets aside
  what is there when a worker is ready: a look through the rest takes 1 ms instead of 166.
"""

import atexit
import ctypes
import gc
import os
import sys
from typing import Any

SPIN_COUNT = "1000"
KEPT_BYTES = 1 << 30
ARENAS = 2

M_TRIM_THRESHOLD = -1
M_TOP_PAD = -2
M_MMAP_THRESHOLD = -3
M_ARENA_MAX = -8


def tune_process() -> None:
    """Spin briefly, keep freed memory. Whoever has set OpenMP's or malloc's own variables is left alone."""
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPIN_COUNT)
    if sys.platform == "linux" and not any(name.startswith("MALLOC_") for name in os.environ):
        _keep_freed_memory()


def freeze_long_lived() -> None:
    """Let the garbage collector look no more at what is there now; to be called when all is loaded.

    At the end of the process it must look again: Python frees cycles of modules by it, and what they keep alive of
    nanobind's (triton, which torch's compiler imports) would be reported line by line as leaked.
    """
    gc.collect()
    gc.freeze()
    atexit.register(gc.unfreeze)


def give_back_freed_memory() -> None:
    """Return all freed pages to the kernel, also those between others; for long work, now and then."""
    if trim := _of_glibc("malloc_trim"):
        trim(0)


def heap_in_use_bytes() -> int | None:
    """What is allocated and not freed; resident memory may be much more. None if the C library does not tell."""
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
    """None with another C library."""
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None
