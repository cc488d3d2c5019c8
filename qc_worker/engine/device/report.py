"""Reports the device that judges, in the log and as a metric: which one, by which driver, in which number format."""

import re
from pathlib import Path

import structlog
import torch

from qc_worker.observability import metrics
from qc_worker.simplenet.inference.precision import number_format

DRIVER_FILE = Path("/proc/driver/nvidia/version")
"""First line, as `NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.82.07  Wed ...`; missing on WSL."""

log = structlog.get_logger()


class DeviceReport:
    """Logs the device when a backbone is ready, once, and again only if something of it has changed."""

    def __init__(self, device: torch.device, dtype: torch.dtype) -> None:
        self._device = device
        self._dtype = dtype
        self._reported: dict[str, str] = {}

    def report(self, *, compiled: bool) -> None:
        """Log the device and set the metric; `compiled` is that of the newest backbone."""
        described = describe(self._device, self._dtype, compiled=compiled)
        if described == self._reported:
            return
        self._reported = described
        metrics.DEVICE_INFO.clear()
        metrics.DEVICE_INFO.labels(**described).set(1)
        log.info("computing on", **described)


def describe(device: torch.device, dtype: torch.dtype, *, compiled: bool) -> dict[str, str]:
    """Return the metric's labels; on a CPU those of CUDA are empty."""
    is_cuda = device.type == "cuda"
    return {
        "device": str(device),
        "name": torch.cuda.get_device_name(device) if is_cuda else "",
        "driver": _driver_version() if is_cuda else "",
        "cuda": torch.version.cuda or "" if is_cuda else "",
        "precision": number_format(dtype),
        "compiled": "yes" if compiled else "no",
    }


def _driver_version() -> str:
    try:
        found = re.search(r"\s(\d+(?:\.\d+)+)\s", DRIVER_FILE.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return ""
    return found[1] if found else ""
