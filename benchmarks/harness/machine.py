"""Describe the machine and the package versions of a benchmark run."""

import os
import platform
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from benchmarks.harness.contestant import Memory

INSTRUCTIONS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8")
PACKAGES = ("torch", "torchvision", "timm", "numpy", "scipy", "anomalib")


def machine(device: str = "cpu") -> str:
    """Describe the machine in one line: processor, cores, instructions for convolutions, GPU if used."""
    parts = [_processor(), f"{os.cpu_count()} cores", f"{torch.get_num_threads()} threads", *_instructions()]
    if device.startswith("cuda"):
        parts.append(torch.cuda.get_device_name(device))
    return ", ".join(parts)


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that compute."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def device_memory(device: str) -> Memory:
    """Return the memory of this process, or its memory on the GPU."""
    if device.startswith("cuda"):
        return Memory(torch.cuda.memory_allocated(device), torch.cuda.max_memory_allocated(device))
    status = Path("/proc/self/status").read_text()
    resident_kb, peak_kb = (int(re.findall(rf"{field}:\s+(\d+) kB", status)[0]) for field in ("VmRSS", "VmHWM"))
    return Memory(1024 * resident_kb, 1024 * peak_kb)


def _processor() -> str:
    found = re.search(r"^model name\s*:\s*(.+)$", _cpuinfo(), re.MULTILINE)
    return found[1] if found else platform.processor() or platform.machine()


def _instructions() -> list[str]:
    flags = re.search(r"^flags\s*:\s*(.+)$", _cpuinfo(), re.MULTILINE)
    present = set(flags[1].split()) if flags else set[str]()
    return [name for name in INSTRUCTIONS if name in present]


def _cpuinfo() -> str:
    path = Path("/proc/cpuinfo")
    return path.read_text() if path.exists() else ""
