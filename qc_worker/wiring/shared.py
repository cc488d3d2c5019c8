"""Builds from settings what both command lines need: device, image limits, compiled kernels."""

import os
from contextlib import suppress
from pathlib import Path

import torch

from qc_worker.imaging.preprocessing import ImageLimits
from qc_worker.runtime.state_folder import usable
from qc_worker.settings import Settings
from qc_worker.wiring.device import open_device


def image_limits(settings: Settings) -> ImageLimits:
    return ImageLimits(max_bytes=settings.max_frame_bytes, max_pixels=settings.max_frame_pixels)


def keep_compiled_kernels(settings: Settings) -> Path:
    """Cache compiled kernels in the state folder, so that the next start is short; return that folder.

    Inductor's and Triton's own settings win. Raises SettingsError if it cannot write there.
    """
    folder = usable(settings.state_path) / "compiled-kernels"
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)  # it loads what lies there as code
    usable(folder)
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(folder))
    # Inductor sets it only when it builds its first kernel; Triton's default is the home folder, often read-only.
    os.environ.setdefault("TRITON_CACHE_DIR", str(folder / "triton"))
    return folder


def compute_device(settings: Settings) -> torch.device:
    """Open the device to compute on, and set the number of CPU threads. Raises SettingsError, DeviceLost."""
    torch.set_num_threads(settings.torch_threads or len(os.sched_getaffinity(0)))
    return open_device(settings.device, cpu_fallback=settings.cpu_fallback)
