import platform
import subprocess
import sys
from pathlib import Path

import pytest

from qc_worker.runtime.cores_and_memory import heap_in_use_bytes

CHECK = """
from pathlib import Path
from qc_worker.runtime.cores_and_memory import give_back_freed_memory, tune_process

def resident_mb():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6

tune_process()
large, small = [], []
for _ in range(2000):
    large.append(bytearray(64_000))
    small.append(bytearray(700))
large.clear()
kept = resident_mb()
give_back_freed_memory()
print(kept - resident_mb())
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads resident memory by /proc")
def test_freed_pages_between_kept_ones_go_back_to_the_kernel() -> None:
    done = subprocess.run([sys.executable, "-c", CHECK], capture_output=True, text=True, check=True)
    assert float(done.stdout) > 100


GARBAGE = """
import gc
from qc_worker.runtime.cores_and_memory import freeze_long_lived

class Answer:
    alive = 0
    def __init__(self):
        Answer.alive += 1
        self.itself = self
    def __del__(self):
        Answer.alive -= 1

gc.disable()
kept, _ = Answer(), [Answer() for _ in range(10)].clear()
freeze_long_lived()
print(Answer.alive, gc.get_freeze_count() > 1000, len(gc.get_objects()) < 1000)
"""


def test_what_is_there_is_frozen_but_for_garbage() -> None:
    done = subprocess.run([sys.executable, "-c", GARBAGE], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "True", "True"]


AT_THE_END = """
import types
from qc_worker.runtime.cores_and_memory import freeze_long_lived

class Witness:
    def __del__(self):
        print("freed")

module = types.ModuleType("cycle")
module.itself, module.witness = module, Witness()
del module.itself.__dict__["__spec__"]
freeze_long_lived()
del module
"""

OF_NANOBIND = """
import torch._inductor.compile_fx
from qc_worker.runtime.cores_and_memory import freeze_long_lived

freeze_long_lived()
"""


def test_what_was_frozen_is_freed_at_the_end_of_the_process() -> None:
    done = subprocess.run([sys.executable, "-c", AT_THE_END], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["freed"]


def test_a_process_that_compiles_ends_without_a_word_of_leaks() -> None:
    done = subprocess.run([sys.executable, "-c", OF_NANOBIND], capture_output=True, text=True, check=True)
    assert done.stderr == ""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc tells")
def test_what_is_allocated_counts_as_in_use_until_it_is_freed() -> None:
    before = heap_in_use_bytes()
    assert before
    held = bytearray(50_000_000)
    during = heap_in_use_bytes()
    del held
    after = heap_in_use_bytes()
    assert during
    assert after
    assert 49_000_000 < during - before < 60_000_000
    assert abs(after - before) < 10_000_000
