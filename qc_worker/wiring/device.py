"""Opens the device to compute on. A GPU that is there and cannot be opened is never replaced by the CPU in silence."""

import os
import warnings
from pathlib import Path

import structlog
import torch

from qc_worker.domain.errors import DeviceLost, SettingsError

NVIDIA_FILES = ("/dev/nvidia0", "/dev/nvidiactl", "/dev/dxg")
"""Device files of NVIDIA's driver: of its first GPU, of the driver itself, and of Windows' subsystem for Linux."""
GPUS_OF_CONTAINER = "NVIDIA_VISIBLE_DEVICES"
NO_GPUS = ("", "void", "none")
HIDDEN = ("", "-1")
"""Values of CUDA_VISIBLE_DEVICES by which somebody hides all GPUs from a process."""

log = structlog.get_logger()


def open_device(name: str, *, cpu_fallback: bool) -> torch.device:
    """Open the device of that name; `auto`: CUDA, or the CPU of a machine without an NVIDIA device.

    Raises DeviceLost if CUDA cannot be opened, as while a driver is loaded or after a GPU was lost: a later try may
    succeed. Raises SettingsError for a name or index that cannot be used here.
    """
    if name == "auto":
        name = _automatic(cpu_fallback=cpu_fallback)
    try:
        device = torch.device(name)
    except RuntimeError:  # its message lists all devices that torch has names for
        raise SettingsError(f"device {name} cannot be used here: use auto, cpu, cuda or cuda:N") from None
    if device.type == "cuda":
        _check_cuda(name, device)
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError) as error:
        if device.type == "cuda":
            raise DeviceLost(_cannot_be_opened(name, error)) from None
        raise SettingsError(_cannot_be_used(name, error)) from None


def _automatic(*, cpu_fallback: bool) -> str:
    """Choose CUDA if it can be opened, else the CPU. Raises DeviceLost or SettingsError if a GPU should be there."""
    reason = _why_no_cuda()
    if reason is None:
        return "cuda"
    found = _nvidia_device()
    if found is None:
        return "cpu"
    if not cpu_fallback:
        advice = "repair the driver, or set device to cpu, or cpu_fallback to true"
        said = f"device auto: an NVIDIA device is here ({found}), but CUDA cannot be opened: {reason}; {advice}"
        raise DeviceLost(said) if _built_for_cuda() else SettingsError(said)
    log.warning("CUDA cannot be opened: the CPU is used", found=found, reason=reason)
    return "cpu"


def _check_cuda(name: str, device: torch.device) -> None:
    """Raise DeviceLost if CUDA cannot be opened, SettingsError if this torch has none, or no device of that index."""
    if not _built_for_cuda():
        raise SettingsError(f"device {name} cannot be used here: this torch was built without CUDA")
    if (reason := _why_no_cuda()) is not None:
        raise DeviceLost(f"device {name} cannot be opened: {reason}")
    count = torch.cuda.device_count()
    if device.index is not None and device.index >= count:
        raise SettingsError(f"device {name} cannot be used here: the last one is cuda:{count - 1}")


def _built_for_cuda() -> bool:
    return bool(torch.backends.cuda.is_built())  # type: ignore[no-untyped-call]  # torch leaves it out


def _why_no_cuda() -> str | None:
    """Return why CUDA cannot be opened, in one line; None if it can."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of what is returned here
        if torch.cuda.is_available():
            return None
        try:
            torch.cuda.init()  # type: ignore[no-untyped-call]  # torch leaves it out
        except (RuntimeError, AssertionError) as error:
            return _first_line(error)
    return "torch finds no device"


def _nvidia_device() -> str | None:
    """Return what says that an NVIDIA device is meant to be used here; None if nothing does."""
    if os.environ.get("CUDA_VISIBLE_DEVICES", "all").strip() in HIDDEN:
        return None
    if found := next((path for path in NVIDIA_FILES if Path(path).exists()), None):
        return found
    gpus = os.environ.get(GPUS_OF_CONTAINER, "").strip()
    return None if gpus in NO_GPUS else f"{GPUS_OF_CONTAINER}={gpus}"


def _cannot_be_used(name: str, error: Exception) -> str:
    return f"device {name} cannot be used here: {_first_line(error)}"


def _cannot_be_opened(name: str, error: Exception) -> str:
    return f"device {name} cannot be opened: {_first_line(error)}"


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
