"""Which number format a device computes in: the one it is made for."""

from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import torch

from qc_worker.domain.errors import SettingsError

NumberFormat = Literal["float32", "bfloat16"]
Precision = Literal["auto", "float32", "bfloat16"]


def compute_dtype(device: torch.device, precision: Precision = "auto") -> torch.dtype:
    """The format of backbone and heads on `device`.

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
    """Let float32 on CUDA be float32, in the whole process: left alone, cuDNN rounds a convolution's factors to TF32.

    That leaves 10 bits of mantissa, and scores further from the CPU's than one number format explains.
    """
    if device.type == "cuda" and dtype is torch.float32:
        torch.backends.cudnn.conv.fp32_precision = "ieee"  # type: ignore[attr-defined]  # made at run time
        # So it is by default, but an environment variable of torch's can change that.
        torch.backends.cuda.matmul.fp32_precision = "ieee"


def number_format(dtype: torch.dtype) -> NumberFormat:
    """The name of what `compute_dtype` gave."""
    return "bfloat16" if dtype is torch.bfloat16 else "float32"


def multiplies_bfloat16(device: torch.device) -> bool:
    """Whether the device has instructions that multiply bfloat16 (AMX or AVX512-BF16; CUDA from Ampere on)."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    # An older torch does not tell, and then nothing is assumed.
    capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return device.type == "cpu" and any(capabilities.get(name) for name in ("amx_bf16", "avx512_bf16"))


def multiplying_in(dtype: torch.dtype, device: torch.device) -> AbstractContextManager[object]:
    """Within it, linear layers multiply in `dtype`."""
    if dtype == torch.float32:
        return nullcontext()
    return torch.autocast(device.type, dtype=dtype)
