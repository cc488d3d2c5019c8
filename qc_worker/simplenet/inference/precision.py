"""Chooses the number format in which a device computes: the one that it has instructions for."""

from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import torch

from qc_worker.domain.errors import SettingsError

NumberFormat = Literal["float32", "bfloat16"]
Precision = Literal["auto", "float32", "bfloat16"]


def compute_dtype(device: torch.device, precision: Precision = "auto") -> torch.dtype:
    """Choose the number format of backbone and heads on `device`.

    `auto`: bfloat16 where the device multiplies it faster than float32, else float32.
    Raises SettingsError if bfloat16 is asked for where it would only be emulated.
    """
    if precision == "float32":
        return torch.float32
    if multiplies_bfloat16(device):
        return torch.bfloat16
    if precision == "bfloat16":
        raise SettingsError(f"precision bfloat16: this {device.type} has no instructions for it; use auto or float32")
    return torch.float32


def keep_float32(device: torch.device, dtype: torch.dtype) -> None:
    """Compute float32 on CUDA as float32, in the whole process; by default cuDNN rounds convolutions to TF32.

    TF32 has 10 bits of mantissa, so scores would differ from the CPU's by more than the rounding of float32.
    """
    if device.type == "cuda" and dtype is torch.float32:
        torch.backends.cudnn.conv.fp32_precision = "ieee"  # type: ignore[attr-defined]  # made at run time
        # We have no such layers, but torch raises where the older name `allow_tf32` is asked and the two differ.
        torch.backends.cudnn.rnn.fp32_precision = "ieee"  # type: ignore[attr-defined]
        # This is the default, but an environment variable of torch's can change it.
        torch.backends.cuda.matmul.fp32_precision = "ieee"


def number_format(dtype: torch.dtype) -> NumberFormat:
    """Return the name of a format that `compute_dtype` chose."""
    return "bfloat16" if dtype is torch.bfloat16 else "float32"


def multiplies_bfloat16(device: torch.device) -> bool:
    """Return True for a device that multiplies bfloat16 in hardware (AMX or AVX512-BF16; CUDA from Ampere on)."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    # An older torch cannot say; then the answer is no.
    capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return device.type == "cpu" and any(capabilities.get(name) for name in ("amx_bf16", "avx512_bf16"))


def multiplying_in(dtype: torch.dtype, device: torch.device) -> AbstractContextManager[object]:
    """Return a context in which linear layers multiply in `dtype`."""
    if dtype == torch.float32:
        return nullcontext()
    return torch.autocast(device.type, dtype=dtype)
